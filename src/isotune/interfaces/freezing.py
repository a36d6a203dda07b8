"""Freezing: the core decides what is frozen; a backend applies it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from isotune.interfaces.dataset import DeviceBatch

BatchNormMode = Literal["eval", "train"]


@dataclass(frozen=True)
class FreezePlan:
    """Frozen parameters and the behavior of frozen BatchNorm during some epochs.

    Attributes:
        frozen: Canonical names of the frozen parameters.
        batch_norm: Mode of a BatchNorm layer whose parameters are all frozen. ``eval``: it uses
            its stored statistics and does not change them. ``train``: it uses the batch's
            statistics and updates the stored ones, as the classic tutorials do.
    """

    frozen: frozenset[str] = frozenset()
    batch_norm: BatchNormMode = "eval"

    def drops(self, path: str, parameters: Sequence[str]) -> bool:
        """Whether a layer of dropout or stochastic depth drops anything in training.

        It does not if everything up to the end of its block is frozen: the layers before the first
        trainable one run as in evaluation, unless ``batch_norm`` is ``train``.

        Args:
            path: Canonical path of the layer.
            parameters: Canonical names of all parameters, in the model's order.
        """
        block = f"{path.rpartition('.')[0]}."
        within = [i for i, name in enumerate(parameters) if block == "." or name.startswith(block)]
        before = parameters[: within[-1] + 1] if within else parameters
        return self.batch_norm == "train" or not self.frozen.issuperset(before)

    def trains_batch_norm(self, path: str, parameters: Sequence[str]) -> bool:
        """Whether a BatchNorm layer uses the batch's statistics in training.

        A layer without parameters is never frozen.

        Args:
            path: Canonical path of the layer.
            parameters: Canonical names of all parameters.
        """
        own = {f"{path}.weight", f"{path}.bias"}.intersection(parameters)
        return self.batch_norm == "train" or not own or not own <= self.frozen


class Freezing(ABC):
    """Applies a :class:`FreezePlan` to a backend's native models."""

    @abstractmethod
    def apply(self, model: Any, plan: FreezePlan) -> None:
        """Sets which parameters take gradients: all but ``plan.frozen``."""

    @abstractmethod
    def training_mode(self, model: Any, plan: FreezePlan) -> None:
        """Puts `model` in training mode, its frozen BatchNorm layers in that of the plan.

        Layers for which :meth:`FreezePlan.drops` is False are put in evaluation mode.
        """

    def values_per_channel(self, model: Any, batch: DeviceBatch) -> dict[str, int]:
        """Returns how many values of a channel each BatchNorm layer gets from one image.

        That is the area of its maps: 49 for maps of 7 x 7, 1 after global pooling. By the layers'
        canonical paths; nothing of `model` changes. Layers that a backend does not report are not
        checked before the first step.

        Args:
            model: Native, with a forward pass as in training.
            batch: One image on the device.
        """
        return {}
