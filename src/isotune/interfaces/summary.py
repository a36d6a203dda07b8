"""A model layer by layer: its parameters, and the epoch from which each of them trains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
BYTES = 4
"""Of a float32."""


@dataclass(frozen=True)
class LayerRow:
    """A layer that has tensors.

    Attributes:
        path: its canonical path; empty for tensors of the model itself.
        kind: what it is (``conv 3x3``, ``linear``, ``batch norm``), None where names and
            shapes leave that open.
        shapes: those of its parameters, by their names in the layer, in PyTorch's layout.
            The statistics of BatchNorm are no parameters.
        trains_from: from which epoch on (counted from 1) each of them trains; None: never.
    """

    path: str
    kind: str | None
    shapes: Mapping[str, Shape]
    trains_from: Mapping[str, int | None]

    @property
    def parameters(self) -> int:
        """How many numbers its parameters hold."""
        return sum(map(math.prod, self.shapes.values()))

    def trainable(self, epoch: int = 1) -> int:
        """Returns how many of them train in an epoch."""
        return sum(
            math.prod(shape)
            for name, shape in self.shapes.items()
            if (start := self.trains_from[name]) is not None and start <= epoch
        )

    @property
    def state(self) -> str:
        """``trainable``, ``frozen``, ``frozen, trains from epoch 3``, or that of each part."""
        states = {name: _state(start) for name, start in self.trains_from.items()}
        if len(set(states.values())) > 1:
            return "; ".join(f"{name} {state}" for name, state in states.items())
        return next(iter(states.values()), "-")


@dataclass(frozen=True)
class ModelSummary:
    """All layers of a model, in its order.

    Attributes:
        backbone: its name.
        rows: the layers.
    """

    backbone: str
    rows: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        """How many parameters there are, BatchNorm's statistics not counted."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """How many of them train in the first epoch."""
        return self.trainable_in(1)

    @property
    def frozen(self) -> int:
        """How many of them do not."""
        return self.parameters - self.trainable

    @property
    def megabytes(self) -> float:
        """The size of the parameters in float32, in 10^6 bytes."""
        return self.parameters * BYTES / 1e6

    def trainable_in(self, epoch: int) -> int:
        """Returns how many parameters train in an epoch, counted from 1."""
        return sum(row.trainable(epoch) for row in self.rows)


def _state(start: int | None) -> str:
    if start is None:
        return "frozen"
    return "trainable" if start == 1 else f"frozen, trains from epoch {start}"
