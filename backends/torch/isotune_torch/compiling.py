"""A compiled model beside the original, whose ``forward`` and attributes stay unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from isotune.errors import BackendError


class CompiledModel:
    """A model behind ``torch.compile``: one graph per mode and batch size."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._compiled: Any = torch.compile(model)
        self._paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Context in which the model runs as it is."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def __call__(self, images: Tensor) -> Any:
        """Returns the model's outputs.

        Raises:
            BackendError: PyTorch cannot compile the model here, for example without a C++ compiler.
        """
        if self._paused:
            return self._model(images)
        try:
            return self._compiled(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = " ".join(str(error).split())[:300]
            raise BackendError(
                f"PyTorch cannot compile {type(self._model).__name__} here; 'compile: false' runs"
                f" it as it is. The reason: {reason}"
            ) from error
