"""Summary of a model: each layer's parameters, and when they train."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
BYTES = 4
"""Size of a float32."""


@dataclass(frozen=True)
class LayerRow:
    """A layer that has tensors.

    Attributes:
        path: Canonical path of the layer; empty for tensors of the model itself.
        kind: ``conv 3x3``, ``linear`` or ``batch norm``; None if names and shapes do not tell.
        shapes: Shapes of the parameters by their names in the layer, in PyTorch's layout.
            BatchNorm's statistics are not parameters.
        trains_from: First epoch, counted from 1, in which each parameter trains; None if it
            never does.
        lr_scale: Factor of the learning rate.
    """

    path: str
    kind: str | None
    shapes: Mapping[str, Shape]
    trains_from: Mapping[str, int | None]
    lr_scale: float = 1.0

    @property
    def parameters(self) -> int:
        """Number of parameters, without BatchNorm's statistics."""
        return sum(map(math.prod, self.shapes.values()))

    def trainable(self, epoch: int = 1) -> int:
        """Returns the number of parameters that train in an epoch, counted from 1."""
        return sum(
            math.prod(shape)
            for name, shape in self.shapes.items()
            if (start := self.trains_from[name]) is not None and start <= epoch
        )

    @property
    def state(self) -> str:
        """``trainable``, ``frozen`` or ``frozen, trains from epoch 3``; by name if they differ."""
        states = {name: _state(start) for name, start in self.trains_from.items()}
        if len(set(states.values())) > 1:
            return "; ".join(f"{name} {state}" for name, state in states.items())
        return next(iter(states.values()), "-")


@dataclass(frozen=True)
class ModelSummary:
    """All layers of a model, in its order.

    Attributes:
        backbone: Name of the backbone.
        rows: The layers.
    """

    backbone: str
    rows: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters, without BatchNorm's statistics."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Number of parameters that train in the first epoch."""
        return self.trainable_in(1)

    @property
    def frozen(self) -> int:
        """Number of parameters that are frozen in the first epoch."""
        return self.parameters - self.trainable

    @property
    def megabytes(self) -> float:
        """Size of the parameters in float32, in units of 10^6 bytes."""
        return self.parameters * BYTES / 1e6

    def trainable_in(self, epoch: int) -> int:
        """Returns the number of parameters that train in an epoch, counted from 1."""
        return sum(row.trainable(epoch) for row in self.rows)


def _state(start: int | None) -> str:
    if start is None:
        return "frozen"
    return "trainable" if start == 1 else f"frozen, trains from epoch {start}"
