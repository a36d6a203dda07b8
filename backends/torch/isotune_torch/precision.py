"""Precision: what the model computes in. Parameters, loss and optimizer are float32 always."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch.amp.grad_scaler import GradScaler

from isotune.spec.parts import Precision

AUTOCAST: dict[Precision, torch.dtype | None] = {
    "fp32": None,
    "tf32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
"""The type that autocast computes in, where a precision needs autocast."""

SCALER = {"scale": "scale", "growth_tracker": "_growth_tracker"}
"""What of a ``GradScaler``'s state changes, by the name it has in a checkpoint."""


class PrecisionPolicy:
    """A precision on a device.

    Attributes:
        scaler: keeps float16 gradients from vanishing; in other precisions it does nothing.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self._precision = precision
        self._device = device.type
        self.scaler = GradScaler(self._device, enabled=precision == "fp16")

    def scaler_state(self) -> dict[str, float]:
        """Returns what the scaler remembers; empty where it does nothing."""
        state = self.scaler.state_dict()
        return {name: float(state[key]) for name, key in SCALER.items()} if state else {}

    def load_scaler(self, state: Mapping[str, float]) -> None:
        """Sets what the scaler remembers, of a precision that has one."""
        if self.scaler.is_enabled() and state:
            now = self.scaler.state_dict()
            told = {key: type(now[key])(state[name]) for name, key in SCALER.items()}
            self.scaler.load_state_dict({**now, **told})

    def step(self) -> AbstractContextManager[None]:
        """Surrounds a whole step, gradients included."""
        return _tf32(self._precision == "tf32") if self._device == "cuda" else nullcontext()

    def forward(self) -> AbstractContextManager[None]:
        """Surrounds the forward pass."""
        if (dtype := AUTOCAST[self._precision]) is None:
            return nullcontext()
        return torch.autocast(self._device, dtype)


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Allows or forbids TF32, then restores what the process had: PyTorch allows it to cuDNN."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
