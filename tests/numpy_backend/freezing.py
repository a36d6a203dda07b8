"""Freezing: the model remembers what the trainer must leave alone."""

from __future__ import annotations

from isotune.errors import BackendError, nearest
from isotune.interfaces.freezing import FreezePlan, Freezing
from numpy_backend.backbone import LinearNet


class NumpyFreezing(Freezing):
    """Parameters only: a linear model has no BatchNorm."""

    def apply(self, model: LinearNet, plan: FreezePlan) -> None:
        known = model.parameters()
        for name in sorted(plan.frozen - known.keys()):
            hint = nearest(name, known)
            raise BackendError(f"cannot freeze '{name}': the model has no such parameter.{hint}")
        model.frozen = plan.frozen

    def training_mode(self, model: LinearNet, plan: FreezePlan) -> None:
        """A linear model computes the same in training and in evaluation."""
