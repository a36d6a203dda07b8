"""Freezing: the core decides what is frozen; a backend makes it so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
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

    def drops(self, path: str, parameters: Sequence[str]) -> bool:
        """Tells whether a layer of dropout or stochastic depth drops anything in training.

        It does not where everything up to the end of the block that it is in is frozen: what
        comes before the first part that trains runs as in evaluation, unless ``batch_norm`` says
        otherwise.

        Args:
            path: the layer's canonical path.
            parameters: canonical names of all parameters, in the model's order.
        """
        block = f"{path.rpartition('.')[0]}."
        within = [i for i, name in enumerate(parameters) if block == "." or name.startswith(block)]
        before = parameters[: within[-1] + 1] if within else parameters
        return self.batch_norm == "train" or not self.frozen.issuperset(before)


class Freezing(ABC):
    """Applies a :class:`FreezePlan` to a backend's native models."""

    @abstractmethod
    def apply(self, model: Any, plan: FreezePlan) -> None:
        """Sets which parameters take gradients: all but ``plan.frozen``."""

    @abstractmethod
    def training_mode(self, model: Any, plan: FreezePlan) -> None:
        """Puts `model` in training mode, its frozen BatchNorm layers in that of the plan.

        Layers that drop nothing by :meth:`FreezePlan.drops` are put in evaluation mode.
        """
