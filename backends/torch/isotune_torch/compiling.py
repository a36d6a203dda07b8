"""A compiled model beside the original, whose ``forward`` and attributes stay unchanged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from isotune.errors import BackendError


class CompiledModel:
    """A model behind ``torch.compile``: one graph per mode and batch size."""

    def __init__(self, model: nn.Module) -> None:
        self._name = type(model).__name__
        self._compiled: Any = torch.compile(model)

    def __call__(self, images: Tensor) -> Any:
        """Returns the model's outputs.

        Raises:
            BackendError: PyTorch cannot compile the model here, for example without a C++ compiler.
        """
        try:
            return self._compiled(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split())[:300]
            raise BackendError(
                f"PyTorch cannot compile {self._name} here; 'compile: false' runs it as it is."
                f" The reason: {reason}"
            ) from error
