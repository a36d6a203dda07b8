"""Dropout by the core's masks (:mod:`isotune.training.dropout`), on the native modules.

Dropout that is not an ``nn.Dropout`` module (``functional.dropout``, ``nn.Dropout2d``) is left
to PyTorch, so that its masks are not those of other backends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from isotune.training.dropout import layer_seed, threshold
from isotune_torch.devices import host_to_device


def keep_mask(word: int | Tensor, shape: tuple[int, ...], p: float, device: torch.device) -> Tensor:
    """Returns :func:`isotune.training.dropout.keep_mask` as a bool tensor on `device`.

    `word` may be an int64 scalar on the device.

    PyTorch computes with few unsigned types, so that 32-bit words lie in int64. There the
    first product is below 2**63, and so is the size of the second, whose multiplier is taken
    minus 2**32: no product overflows.
    """
    elements = torch.Size(shape).numel()
    bits = torch.arange(elements, dtype=torch.int64, device=device).bitwise_xor_(word)
    bits ^= bits >> 16
    bits.mul_(0x7FEB352D).bitwise_and_(0xFFFFFFFF)
    bits ^= bits >> 15
    bits.mul_(0x846CA68B - (1 << 32)).bitwise_and_(0xFFFFFFFF)
    bits ^= bits >> 16
    return ((bits >> 8) >= threshold(p)).view(shape)


class Dropouts:
    """The dropout layers of a model.

    A layer's number is its position among the ``nn.Dropout`` modules with p > 0, in the order
    of ``named_modules``.
    """

    def __init__(self, model: nn.Module, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self._layers = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0]
        # A tensor, since a compiled model takes a number for a constant.
        self._words = torch.zeros(len(self._layers), dtype=torch.int64, device=device)
        self._hooks = [_Mask(word) for word in self._words]

    @contextmanager
    def masks(self, step: int) -> Iterator[None]:
        """Makes the layers drop by the masks of `step`; nothing is left on them afterwards."""
        if not self._layers:
            yield
            return
        words = [layer_seed(self._seed, step, number) for number in range(len(self._layers))]
        self._words.copy_(host_to_device(torch.tensor(words), self._device))
        # First, so that a user's own hooks see what comes out of the layer.
        handles = [
            layer.register_forward_hook(hook, prepend=True)
            for layer, hook in zip(self._layers, self._hooks, strict=True)
        ]
        modes = [layer.training for layer in self._layers]
        try:
            for layer in self._layers:
                layer.training = False  # it then passes its input on and draws nothing
            yield
        finally:
            for layer, mode in zip(self._layers, modes, strict=True):
                layer.training = mode
            for handle in handles:
                handle.remove()


class _Mask:
    """A forward hook that drops elements of a layer's output."""

    def __init__(self, word: Tensor) -> None:
        self._word = word

    def __call__(self, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        keep = keep_mask(self._word, tuple(output.shape), layer.p, output.device)
        scale = 1 / (1 - layer.p) if layer.p < 1 else 0.0
        return output * (keep * scale).to(output.dtype)
