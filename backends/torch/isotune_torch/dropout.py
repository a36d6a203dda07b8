"""Dropout by the core's masks (:mod:`isotune.training.dropout`), on the native modules.

Dropout that is not an ``nn.Dropout`` module (``functional.dropout``, ``nn.Dropout2d``) is left
to PyTorch: its masks differ from those of other backends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from isotune.interfaces.division import Part
from isotune.training.dropout import FACTOR, INCREMENT, layer_seed, threshold
from isotune_torch.devices import host_to_device
from isotune_torch.vision import StochasticDepth


def keep_mask(
    seed: int | Tensor,
    shape: tuple[int, ...],
    p: float,
    device: torch.device,
    first: int | Tensor | None = None,
) -> Tensor:
    """Returns :func:`isotune.training.dropout.keep_mask` as a bool tensor on `device`.

    `seed`, a layer's seed, and `first` may be int64 scalars on the device.

    PyTorch supports few operations on unsigned types, so 32-bit integers are stored as int64. The
    first product is below 2**63, and so is the magnitude of the second, whose multiplier is
    reduced by 2**32: no product overflows.
    """
    elements = torch.Size(shape).numel()
    bits = torch.arange(elements, dtype=torch.int64, device=device)
    if first is not None:
        bits.add_(first).bitwise_and_(0xFFFFFFFF)
    bits.bitwise_xor_(seed)
    bits ^= bits >> 16
    bits.mul_(0x7FEB352D).bitwise_and_(0xFFFFFFFF)
    bits ^= bits >> 15
    bits.mul_(0x846CA68B - (1 << 32)).bitwise_and_(0xFFFFFFFF)
    bits ^= bits >> 16
    return ((bits >> 8) >= threshold(p)).view(shape)


class Dropouts:
    """The layers of a model that drop anything: ``nn.Dropout`` and ``StochasticDepth``, p > 0."""

    def __init__(self, model: nn.Module, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self._layers: dict[str, Any] = {
            path: module for path, module in model.named_modules() if drops(module)
        }
        # A tensor, since a compiled model treats a number as a constant.
        self._seeds = torch.zeros(len(self._layers), dtype=torch.int64, device=device)
        self._hooks = [_Mask(seed) for seed in self._seeds]

    @contextmanager
    def masks(self, step: int, part: Part | None = None, shared: bool = False) -> Iterator[None]:
        """Makes the layers drop by the masks of `step`; nothing is left on them afterwards.

        Layers in evaluation mode drop nothing.

        Args:
            step: Number of the step.
            part: What of a divided batch the step computes.
            shared: Whether several processes compute a shard.
        """
        if not self._layers:
            yield
            return
        shard = 0 if part is None else part.shard
        seeds = [layer_seed(self._seed, step, path, shard) for path in self._layers]
        self._seeds.copy_(host_to_device(torch.tensor(seeds), self._device))
        first = None
        if part is not None and shared:
            first = host_to_device(torch.tensor(part.first), self._device)
        training = [
            (layer, hook)
            for layer, hook in zip(self._layers.values(), self._hooks, strict=True)
            if layer.training
        ]
        # First, so that a user's own hooks see the layer's final output.
        handles = [layer.register_forward_hook(hook, prepend=True) for layer, hook in training]
        try:
            for layer, hook in training:
                hook.uses, hook.first = 0, first
                layer.training = False  # it then returns its input and draws nothing
            yield
        finally:
            for layer, _ in training:
                layer.training = True
            for handle in handles:
                handle.remove()


def drops(module: nn.Module) -> bool:
    """Whether a layer drops anything in training."""
    return isinstance(module, (nn.Dropout, StochasticDepth)) and module.p > 0


class _Mask:
    """A forward hook that drops elements, or samples, of a layer's output.

    Attributes:
        uses: Number of uses of the layer in this step so far.
        first: Position in the shard of the step's first image, an int64 scalar; None is 0.
    """

    def __init__(self, seed: Tensor) -> None:
        self._seed = seed
        self.uses = 0
        self.first: Tensor | None = None

    def __call__(self, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seed = self._seed
        for _ in range(self.uses):
            seed = (seed * FACTOR + INCREMENT) & 0xFFFFFFFF
        self.uses += 1
        shape = tuple(output.shape)
        if isinstance(layer, StochasticDepth):
            shape = (shape[0],) + (1,) * (len(shape) - 1)
        first = None if self.first is None else self.first * torch.Size(shape[1:]).numel()
        keep = keep_mask(seed, shape, layer.p, output.device, first)
        scale = 1 / (1 - layer.p) if layer.p < 1 else 0.0
        return output * (keep * scale).to(output.dtype)
