"""What a comparison has not seen, and what that may hide, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isotune.equivalence.certificates.certificate import ComparedStep
from isotune.equivalence.certificates.wording import coarser, side_names
from isotune.equivalence.comparing.conditions import differing_fields, shown_by_hashes
from isotune.equivalence.local.differences import LocalDifferences
from isotune.equivalence.traces.trace import Trace
from isotune.reports.numbers import significant

UNRELATED = 1.0
"""Relative difference from which on values that are allowed to differ by it are not compared at
all: that of unrelated numbers of one size is about 1.4, that of numbers and nothing 1."""

NAMED = 3
"""Number of values that a sentence names."""


def notes_on(
    traces: tuple[Trace, Trace], steps: Sequence[ComparedStep], local: LocalDifferences | None
) -> Iterator[str]:
    """Yields sentences on what was not compared, and what that may hide.

    Args:
        traces: The two traces.
        steps: The compared steps.
        local: What layers of the other side make of the first side's inputs.
    """
    one, other = traces
    for name, _, _ in differing_fields(one.experiment, other.experiment):
        if shown_by_hashes(name):
            yield f"{name} is not the same text on both sides: hashes say if its contents differ."
    labels = side_names((one.side, other.side))
    yield from _on_sides(traces)
    yield from _on_precision(traces, steps)
    for label, trace in zip(labels, traces, strict=True):
        yield from _on_side(label, trace)
    if len(one.steps) != len(other.steps):
        yield (
            f"{labels[0]} has traced {len(one.steps)} steps and {labels[1]} {len(other.steps)}:"
            f" only the first {len(steps)} are compared."
        )
    yield from _on_missing(steps)
    if local is None:
        yield (
            "Layers were not run alone on the other side's inputs, which takes whole arrays and a"
            " live side: a layer's difference contains what came before it."
        )
    elif local.skipped:
        yield (
            f"{_some('layer', list(local.skipped))} did not run alone: a difference there contains"
            " what came before it."
        )


def _on_sides(traces: tuple[Trace, Trace]) -> Iterator[str]:
    one, other = (trace.side for trace in traces)
    if one.processes != other.processes:
        yield (
            f"The sides have {one.processes} and {other.processes} processes: except with whole"
            " shards and exact reduction, sums over the batch were added in another order."
        )
    if not traces[0].drift or not traces[1].drift:
        yield "Drift is not compared: nothing is said on how differences grow."
    if not traces[0].predictions or not traces[1].predictions:
        yield "Predictions are not compared: nothing is said on evaluation."


def _on_precision(traces: tuple[Trace, Trace], steps: Sequence[ComparedStep]) -> Iterator[str]:
    """Yields what sides of different precisions differ by, and which values rounding hides."""
    one, other = (trace.side for trace in traces)
    for step in steps[:1]:
        if one.precision != other.precision:
            found = ", ".join(_largest(step))
            yield (
                f"The sides compute in {one.precision} and in {other.precision}: in step"
                f" {step.step}, {found}. As much as {coarser((one, other))} explains is allowed,"
                " and may hide other differences."
            )
        hidden = [each for each in step.values if each.allowed >= UNRELATED]
        if hidden:
            judged = [each.local_allowed for each in hidden if each.local_allowed is not None]
            alone = sum(allowed < UNRELATED for allowed in judged)
            yield (
                "Rounding may explain any difference of"
                f" {_some('value', [each.key for each in hidden])} of step {step.step}, which tell"
                f" nothing; of {alone:,} of them the layer was compared alone."
            )


def _largest(step: ComparedStep) -> Iterator[str]:
    """Yields what values of a step differ by, a stage at a time."""
    stages = {"forward": "outputs", "loss": "loss and logits", "gradient": "gradients"}
    for stage, name in stages.items():
        values = [each for each in step.values if each.key.startswith(f"{stage}/")]
        if values:
            worst = max(values, key=lambda each: each.difference)
            yield f"{name} differ by up to {significant(worst.difference, 2)}"


def _on_side(label: str, trace: Trace) -> Iterator[str]:
    unseen = [step for step in trace.steps if not step.watched]
    if unseen:
        same = all(step.same_logits for step in unseen)
        bytes_of = " Its logits have the same bytes either way." if same else ""
        yield (
            f"{label} trains with steps that are compiled, or with layers folded into others: its"
            " outputs and gradients are those of the same step layer by layer. What that changes"
            f" shows in loss, update and state only.{bytes_of}"
        )
    if trace.steps and not trace.steps[0].yardsticks:
        yield (
            f"{label} has not measured how much it differs from itself: only fixed bounds of"
            " rounding are allowed."
        )
    yield from _on_overflow(label, trace)
    values = [value for step in trace.steps for value in step.values.items()]
    spoiled = [name for name, value in values if not np.isfinite(value.norm)]
    if spoiled:
        yield f"{_some('value', spoiled)} of {label} have numbers that are not finite."


def _on_overflow(label: str, trace: Trace) -> Iterator[str]:
    """Yields which steps of float16 make no update, as first steps often do."""
    if trace.side.precision != "fp16":
        return
    numbers = [
        str(step.step)
        for step in trace.steps
        if any(
            name.startswith("gradient/") and not np.isfinite(values.norm)
            for name, values in step.values.items()
        )
    ]
    if numbers:
        yield (
            f"Gradients of {label} overflow float16 in step {', '.join(numbers)}: it makes no"
            " update, and halves the scale of its loss until they fit. Before that, an equal update"
            " says nothing."
        )


def _on_missing(steps: Sequence[ComparedStep]) -> Iterator[str]:
    missing = list(dict.fromkeys(name for step in steps for name in step.missing))
    if missing:
        yield (
            f"{_some('value', missing)} are only on one side, or not in the same shape, and are not"
            " compared."
        )


def _some(what: str, names: Sequence[str]) -> str:
    """Returns a number of things with the first names: ``5 values (a, b, c ...)``."""
    shown = ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({shown})"
