"""Precision of the model's computation. Parameters, loss and optimizer are always float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch.amp.grad_scaler import GradScaler

from isotune.spec.values import Precision

AUTOCAST: dict[Precision, torch.dtype | None] = {
    "fp32": None,
    "tf32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""The type that autocast computes in, where a precision needs autocast."""

SCALER = {"scale": "scale", "growth_tracker": "_growth_tracker"}
"""The variable parts of a ``GradScaler``'s state, by their names in a checkpoint."""


class PrecisionPolicy:
    """A precision on a device.

    Attributes:
        scaler: Keeps float16 gradients from underflowing; disabled in other precisions.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self._precision = precision
        self._device = device.type
        self.scaler = GradScaler(self._device, enabled=precision == "fp16")

    def scaler_state(self) -> dict[str, float]:
        """Returns the scaler's state; empty if it is disabled."""
        state = self.scaler.state_dict()
        return {name: float(state[key]) for name, key in SCALER.items()} if state else {}

    def load_scaler(self, state: Mapping[str, float]) -> None:
        """Sets the scaler's state, unless it is disabled."""
        if self.scaler.is_enabled() and state:
            now = self.scaler.state_dict()
            restored = {key: type(now[key])(state[name]) for name, key in SCALER.items()}
            self.scaler.load_state_dict({**now, **restored})

    def step(self) -> AbstractContextManager[None]:
        """Context of a whole step, including its gradients."""
        return _tf32(self._precision == "tf32") if self._device == "cuda" else nullcontext()

    def forward(self) -> AbstractContextManager[None]:
        """Context of the forward pass."""
        if (dtype := AUTOCAST[self._precision]) is None:
            return nullcontext()
        return torch.autocast(self._device, dtype)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Allows or forbids TF32, then restores the setting: by default PyTorch allows it in cuDNN."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
