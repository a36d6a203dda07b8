"""The catalogue as a table."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Literal

from isotune.errors import SpecError, nearest
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.reports.numbers import NONE, percent
from isotune.reports.tables import Table

Order = Literal["name", "parameters", "accuracy"]


def chosen(
    entries: Iterable[BackboneEntry],
    pattern: str = "*",
    family: str | None = None,
    order: Order = "name",
    *,
    smaller: float | None = None,
    better: float | None = None,
) -> list[BackboneEntry]:
    """Returns the backbones that somebody looks for.

    Args:
        entries: all there are.
        pattern: of names, with ``*`` and ``?``.
        family: the only one; None for all.
        order: by name; by parameters, the fewest first; by accuracy, the best first.
        smaller: than so many parameters.
        better: than this accuracy, from 0 to 1.

    Raises:
        SpecError: there is none.
    """
    entries = list(entries)
    found = [
        entry
        for entry in entries
        if fnmatchcase(entry.name, pattern)
        and family in (None, entry.family)
        and (smaller is None or (entry.parameters or 0) < smaller)
        and (better is None or accuracy(entry) > better)
    ]
    if not found:
        families = sorted({entry.family for entry in entries if entry.family})
        names = [entry.name for entry in entries]
        raise SpecError(
            f"there is no such backbone.{nearest(pattern, names)} Families are:"
            f" {', '.join(families)}."
        )
    keys = {
        "name": lambda entry: entry.name,
        "parameters": lambda entry: (entry.parameters or 0, entry.name),
        "accuracy": lambda entry: (-accuracy(entry), entry.name),
    }
    return sorted(found, key=keys[order])


def accuracy(entry: BackboneEntry) -> float:
    """Returns the best accuracy of any published weights, from 0 to 1; 0 if none is known."""
    return max((each.accuracy or 0.0 for each in entry.weights.values()), default=0.0)


def backbone_table(entries: Iterable[BackboneEntry], backend: Backend | None = None) -> Table:
    """Returns a row for each backbone; accuracies are in the order of the weights.

    Args:
        entries: in the order of the rows.
        backend: adds a column that tells which of them it has.
    """
    own = [backend.name] if backend else []
    table = Table(
        ["name", "parameters", "input", "features", "weights", "ImageNet accuracy", *own],
        ["left", "right", "right", "right", "left", "left", *(["left"] if own else [])],
    )
    for entry in entries:
        accuracies = [percent(each.accuracy) for each in entry.weights.values()]
        row = [
            entry.name,
            f"{entry.parameters / 1e6:,.1f} M" if entry.parameters else NONE,
            f"{entry.preprocessing.input_size} px",
            f"{entry.features:,}" if entry.features else NONE,
            ", ".join(entry.weights) or NONE,
            ", ".join(accuracies) or NONE,
        ]
        if backend:
            has = backend.backbones.builds(entry) or backend.name in entry.builders
            row.append("yes" if has else "no")
        table.add(*row)
    return table
