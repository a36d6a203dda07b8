"""Exponential moving averages of the tensors that training changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from isotune_torch.arrays import to_copy, to_tensor


class Averages:
    """Averages of a model's tensors, beside them on the device."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._of: dict[Tensor, Tensor] = {}

    def follow(self) -> None:
        """Averages what training changes from now on, from its present values.

        That is every parameter that takes gradients, and the statistics of every BatchNorm layer
        that is in training mode. What is averaged already stays so.
        """
        for tensor in _changing(self._model):
            if tensor not in self._of:
                self._of[tensor] = tensor.detach().clone()

    def update(self, decay: float) -> None:
        """Moves all averages towards the values: ``average = d * average + (1 - d) * value``."""
        with torch.no_grad():
            averages, values = list(self._of.values()), list(self._of)
            # What torch.optim.swa_utils.AveragedModel uses: one kernel for all, where there is one.
            torch._foreach_lerp_(averages, values, 1 - decay)

    def swap(self) -> None:
        """Exchanges values and averages in place."""
        with torch.no_grad():
            for value, average in self._of.items():
                kept = value.clone()
                value.copy_(average)
                average.copy_(kept)

    def export(self) -> dict[str, NDArray[Any]]:
        """Returns copies of the averages by every name of their tensors."""
        return {name: to_copy(average) for name, average in self._named()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Sets the averages that `state` names."""
        with torch.no_grad():
            for name, average in self._named():
                if name in state:
                    average.copy_(to_tensor(state[name]))

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        """Yields the averages with the names of their tensors; a shared tensor has several."""
        named = chain(
            self._model.named_parameters(remove_duplicate=False),
            self._model.named_buffers(remove_duplicate=False),
        )
        return ((name, self._of[tensor]) for name, tensor in named if tensor in self._of)


def _changing(model: nn.Module) -> Iterator[Tensor]:
    yield from (parameter for parameter in model.parameters() if parameter.requires_grad)
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.training:
            statistics = (module.running_mean, module.running_var)
            yield from (tensor for tensor in statistics if tensor is not None)
