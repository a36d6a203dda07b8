"""Freezing: the core decides what is frozen; a backend makes it so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

BatchNormMode = Literal["eval", "train"]


@dataclass(frozen=True)
class FreezePlan:
    """What does not train during some epochs.

    Attributes:
        frozen: canonical names of the frozen parameters.
        batch_norm: what a BatchNorm layer does whose parameters are all frozen. ``eval``: it
            uses its stored statistics and leaves them alone. ``train``: it uses the batch's
            and updates the stored ones, as the classic tutorials do.
    """

    frozen: frozenset[str] = frozenset()
    batch_norm: BatchNormMode = "eval"


class Freezing(ABC):
    """Applies a :class:`FreezePlan` to a backend's native models."""

    @abstractmethod
    def apply(self, model: Any, plan: FreezePlan) -> None:
        """Sets which parameters take gradients: all but ``plan.frozen``."""

    @abstractmethod
    def training_mode(self, model: Any, plan: FreezePlan) -> None:
        """Puts `model` in training mode, its frozen BatchNorm layers in that of the plan."""
