"""What two traces have to have in common for a comparison: experiment, classes, batch, start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isotune.equivalence.certificates.certificate import Place
from isotune.equivalence.certificates.wording import side_names
from isotune.equivalence.traces.trace import Trace
from isotune.experiment.changes import fields_of

FREE = (
    *("cache", "checkpoint", "compile", "early_stopping", "epochs", "eval_batch_size"),
    *("evaluation", "metrics", "name", "precision", "threshold", "workers"),
)
"""Fields of a spec that a side may choose: they do not change what a training step ought to be."""

SHOWN_BY_HASHES = ("dataset", "backbone.weights")
"""Fields that name files, which lie elsewhere on another machine: hashes tell if they differ."""


def place_before(traces: tuple[Trace, Trace]) -> Place | None:
    """Returns where two sides part before their first step; None if they do not."""
    one, other = traces
    if one.classes != other.classes:
        return Place("experiment", "classes", None, cause=_classes(traces))
    label, other_label = side_names((one.side, other.side))
    for name, first, second in differing_fields(one.experiment, other.experiment):
        if not shown_by_hashes(name):
            cause = f"{name} is {_shown(first)} with {label} and {_shown(second)} with"
            return Place("experiment", name, None, cause=f"{cause} {other_label}.")
    if one.steps and other.steps and one.steps[0].batch != other.steps[0].batch:
        return Place("batch", "", one.steps[0].step)
    names = [
        name
        for name in {**one.start, **other.start}
        if one.start.get(name) != other.start.get(name)
    ]
    return Place("start", names[0], None, cause=_tensors(traces, names)) if names else None


def differing_fields(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Yields name and both values of each field in which two specs differ, free ones left out."""
    first, second = fields_of(one), fields_of(other)
    for name in {**first, **second}:
        if name.partition(".")[0] not in FREE and first.get(name) != second.get(name):
            yield name, first.get(name), second.get(name)


def shown_by_hashes(name: str) -> bool:
    """Whether a field of a spec names files, whose contents have hashes in the trace."""
    return any(name == each or name.startswith(f"{each}.") for each in SHOWN_BY_HASHES)


def _classes(traces: tuple[Trace, Trace]) -> str:
    one, other = (trace.classes for trace in traces)
    name, other_name = side_names((traces[0].side, traces[1].side))
    if sorted(one) == sorted(other):
        pairs = enumerate(zip(one, other, strict=True))
        label, (first, second) = next(pair for pair in pairs if len({*pair[1]}) > 1)
        return (
            f"The classes are the same in another order: label {label} is '{first}' with {name}"
            f" and '{second}' with {other_name}."
        )
    only = next((each for each in one if each not in other), None)
    missing = next((each for each in other if each not in one), None)
    has = [
        f"only {side} has the class '{each}'"
        for side, each in ((name, only), (other_name, missing))
        if each is not None
    ]
    return f"The classes are not the same: {' and '.join(has) or 'one is given more than once'}."


def _tensors(traces: tuple[Trace, Trace], names: Sequence[str]) -> str:
    first, rest = names[0], len(names) - 1
    more = f", and {rest} more tensors differ" if rest else ""
    sides = side_names((traces[0].side, traces[1].side))
    for side, lacks in ((sides[0], traces[1]), (sides[1], traces[0])):
        if first not in lacks.start:
            return f"Only {side} has {first}{more}."
    return f"The values of {first} at the start are not the same{more}."


def _shown(value: Any) -> str:
    return "missing" if value is None else str(value)
