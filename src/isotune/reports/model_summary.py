"""A model layer by layer: what its parameters are, and which of them train from when on.

Made from canonical names and shapes alone, so that it is the same whatever the backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from isotune.interfaces.freezing import FreezePlan
from isotune.models.freezing import is_parameter
from isotune.reports.numbers import NONE, count
from isotune.reports.tables import Table

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
        return next(iter(states.values()), NONE)


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

    def table(self) -> Table:
        """Returns a line a layer, and the totals."""
        columns = ["layer", "kind", "shapes", "parameters", "training"]
        table = Table(columns, ["left", "left", "left", "right", "left"])
        for row in self.rows:
            shapes = [f"{name} {'x'.join(map(str, s)) or 1}" for name, s in row.shapes.items()]
            table.add(
                row.path or NONE,
                row.kind or NONE,
                ", ".join(shapes) or NONE,
                f"{row.parameters:,}",
                row.state,
            )
        return table

    def totals(self) -> str:
        """Returns a sentence: parameters, how many train, size."""
        starts = {start for row in self.rows for start in row.trains_from.values() if start}
        later = [f"{self.trainable_in(e):,} from epoch {e}" for e in sorted(starts - {1})]
        told = f" ({', '.join(later)})" if later else ""
        return (
            f"{count(self.parameters, 'parameter')}: {self.trainable:,} trainable"
            f"{told}, {self.frozen:,} frozen; {self.megabytes:,.1f} MB in float32"
        )

    def __str__(self) -> str:
        return f"{self.table().plain()}\n{self.totals()}"


def summarise_model(
    backbone: str,
    shapes: Mapping[str, Shape],
    freezing: Callable[[int], FreezePlan],
    changes: Sequence[int] = (),
) -> ModelSummary:
    """Returns the summary of a model.

    Args:
        backbone: its name.
        shapes: of all its tensors, by canonical name, in the model's order.
        freezing: the freeze plan of an epoch, counted from 1.
        changes: the epochs in which the plan changes, the first left out.
    """
    plans = {epoch: freezing(epoch).frozen for epoch in (1, *sorted(changes))}
    layers: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        path, _, last = name.rpartition(".")
        layers.setdefault(path, {})[last] = tuple(shape)
    rows = []
    for path, tensors in layers.items():
        own = {n: tensors[n] for n in sorted(tensors, key=_order) if is_parameter(_join(path, n))}
        starts = {
            name: next((e for e, frozen in plans.items() if _join(path, name) not in frozen), None)
            for name in own
        }
        rows.append(LayerRow(path, _kind(tensors), own, starts))
    return ModelSummary(backbone, tuple(rows))


def _order(name: str) -> tuple[bool, bool, str]:
    # Frameworks list a layer's own tensors in different orders.
    return name != "weight", name != "bias", name


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(tensors: Mapping[str, Shape]) -> str | None:
    weight = tensors.get("weight", ())
    if "running_mean" in tensors and "running_var" in tensors:
        return "batch norm"
    if len(weight) == 4:
        return f"conv {weight[2]}x{weight[3]}"
    # Without a bias, two dimensions may as well be those of an embedding.
    return "linear" if len(weight) == 2 and tensors.get("bias") == weight[:1] else None


def _state(start: int | None) -> str:
    if start is None:
        return "frozen"
    return "trainable" if start == 1 else f"frozen, trains from epoch {start}"
