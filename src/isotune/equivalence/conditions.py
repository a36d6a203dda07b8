"""What two traces have to have in common for a comparison: experiment, classes, start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isotune.equivalence.certificate import ComparedStep, Place
from isotune.equivalence.trace import Trace

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
        return Place("experiment", "classes", None, cause=_classes(one, other))
    for name, first, second in differing_fields(one.experiment, other.experiment):
        if not _under(name, SHOWN_BY_HASHES):
            cause = (
                f"{name} is {_shown(first)} with {one.side.label}"
                f" and {_shown(second)} with {other.side.label}."
            )
            return Place("experiment", name, None, cause=cause)
    if one.steps and other.steps and one.steps[0].batch != other.steps[0].batch:
        return Place("batch", "", one.steps[0].step)
    names = [name for name in {**one.start, **other.start} if _start(one, other, name)]
    if names:
        return Place("start", names[0], None, cause=_tensors(one, other, names))
    return None


def differing_fields(
    one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yields name and both values of each field in which two specs differ, free ones left out."""
    for name in {**one, **other}:
        if not prefix and name in FREE:
            continue
        first, second = one.get(name), other.get(name)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            yield from differing_fields(first, second, f"{prefix}{name}.")
        elif first != second:
            yield f"{prefix}{name}", first, second


def _under(name: str, prefixes: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _start(one: Trace, other: Trace, name: str) -> bool:
    return one.start.get(name) != other.start.get(name)


def _classes(one: Trace, other: Trace) -> str:
    if sorted(one.classes) == sorted(other.classes):
        pairs = zip(one.classes, other.classes, strict=True)
        label = next(label for label, (first, second) in enumerate(pairs) if first != second)
        return (
            f"The classes are the same in another order: label {label} is {one.classes[label]} with"
            f" {one.side.label} and {other.classes[label]} with {other.side.label}."
        )
    return (
        f"{one.side.label} has {len(one.classes)} classes and {other.side.label}"
        f" {len(other.classes)}, and they are not the same."
    )


def _tensors(one: Trace, other: Trace, names: Sequence[str]) -> str:
    name, rest = names[0], len(names) - 1
    more = f", and so do {rest} more tensors" if rest else ""
    for has, lacks in ((one, other), (other, one)):
        if name not in lacks.start:
            return f"Only {has.side.label} has {name}{more and more.replace('so do', 'there are')}."
    return f"The values of {name} at the start differ{more}."


def _shown(value: Any) -> str:
    return "missing" if value is None else str(value)


def notes_on(
    traces: tuple[Trace, Trace], steps: Sequence[ComparedStep], has_local: bool
) -> Iterator[str]:
    """Yields sentences on what was not compared, and what that may hide.

    Args:
        traces: The two traces.
        steps: The compared steps.
        has_local: Whether layers were compared alone, too.
    """
    one, other = traces
    for name, _, _ in differing_fields(one.experiment, other.experiment):
        if _under(name, SHOWN_BY_HASHES):
            yield f"{name} differs as text; hashes say whether what it names does."
    yield from _notes_on_sides(traces)
    if len(one.steps) != len(other.steps):
        yield (
            f"{one.side.label} has traced {len(one.steps)} steps and {other.side.label}"
            f" {len(other.steps)}: only the first {len(steps)} are compared."
        )
    missing = {name for step in steps for name in step.missing}
    if missing:
        yield (
            f"{len(missing)} values are only on one side or have other shapes and are not"
            f" compared: {', '.join(sorted(missing)[:3])}{' ...' if len(missing) > 3 else ''}."
        )
    if not has_local:
        yield (
            "Layers were not run alone on the other side's inputs, which needs whole arrays and a"
            " live side: a layer's difference includes what came before it."
        )


def _notes_on_sides(traces: tuple[Trace, Trace]) -> Iterator[str]:
    one, other = traces
    if one.side.processes != other.side.processes:
        yield (
            f"{one.side.label} has computed in {one.side.processes} processes, {other.side.label}"
            f" in {other.side.processes}: sums over the batch were added in another order."
        )
    if one.side.precision != other.side.precision:
        yield (
            f"The precision is {one.side.precision} with {one.side.label} and"
            f" {other.side.precision} with {other.side.label}: differences up to the coarser one's"
            " rounding are allowed, and may hide smaller ones."
        )
    for trace in traces:
        if not all(step.watched for step in trace.steps):
            yield (
                f"{trace.side.label} computes compiled steps that cannot be watched: outputs and"
                " gradients are of the same step without being compiled. What compiling changes"
                " shows in loss, updates and state only."
            )
        if trace.drift is None:
            yield f"{trace.side.label} has not trained on: nothing is said on how differences grow."
        if trace.predictions is None:
            yield f"{trace.side.label} has predicted nothing: evaluation is not compared."
        if trace.steps and not trace.steps[0].yardsticks:
            yield (
                f"{trace.side.label} has not measured how much it differs from itself: only fixed"
                " bounds of rounding are allowed."
            )
