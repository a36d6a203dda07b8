"""By which rule a parameter moves, and what the optimizer keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from isotune.equivalence.causes.arithmetic import number
from isotune.equivalence.causes.evidence import Evidence
from isotune.equivalence.causes.update_rules import (
    OF_SLOTS,
    RELATIVE,
    ROUNDINGS,
    Moved,
    Rule,
    Wide,
    rules,
)
from isotune.equivalence.traces.sampling import Values
from isotune.equivalence.traces.trace import Trace, TracedStep, key
from isotune.spec.optimizer import OptimizerSpec

CLIP_EPS = 1e-6
"""As in :class:`isotune.interfaces.trainer.TrainingPlan`."""

MEANS = {"exp_avg": "beta of the gradient's mean", "exp_avg_sq": "beta of the squares' mean"}
"""Slots that are running means, by what to call their factors."""


def other_rule(evidence: Evidence) -> str | None:
    """Finds the rule that each side fits, where only one fits that of the spec."""
    if evidence.place.stage not in ("update", "state"):
        return None
    name, _, slot = evidence.place.name.partition("/")
    known, both = _rules(evidence), _both(evidence, name, slot)
    if known is None or both is None:
        return None
    found = [_fitting(known, moved) for moved in both]
    first, second = evidence.labels
    if "" in found and found[0] != found[1] and None not in found:
        wrong = 1 if found[0] == "" else 0
        right = evidence.labels[1 - wrong]
        return f"{evidence.labels[wrong]} fits {found[wrong]}; {right} fits the spec's optimizer."
    if slot:
        return _other_beta(evidence, both, slot)
    scales = [_scale(known[""], moved) for moved in both]
    if scales[0] is None or scales[1] is None or abs(scales[1] / scales[0] - 1) < 1e-3:
        return None
    return (
        f"Both sides fit the spec's optimizer, {second} with {number(scales[1] / scales[0])} times"
        f" the learning rate, or the clipped gradient, of {first}."
    )


def _fitting(known: Mapping[str, Rule], moved: Moved) -> str | None:
    """Returns what is said of the rule that fits: nothing of the spec's; None if none fits."""
    off = {name: moved.off(rule.results(moved)) for name, rule in known.items()}
    if off[""] <= 1:
        return ""
    best = min(off, key=lambda name: off[name])
    return best if off[best] <= 1 else None


def _scale(rule: Rule, moved: Moved) -> float | None:
    """Returns by which factor of the learning rate the update fits; None if by none."""
    expected = rule.results(moved)[""]
    square = float(expected @ expected)
    factor = float(expected @ moved.found[""]) / square if square else 0.0
    return factor if factor and moved.off({"": factor * expected}) <= 1 else None


def _other_beta(evidence: Evidence, both: tuple[Moved, Moved], slot: str) -> str | None:
    """Finds the factors with which both sides' running means fit."""
    if slot not in MEANS:
        return None
    shares = []
    for moved in both:
        gradient = moved.gradient if slot == "exp_avg" else moved.gradient**2
        before, after = moved.slot(slot), moved.found[slot]
        gap = gradient - before
        share = float(gap @ (after - before)) / (float(gap @ gap) or 1.0)
        if np.linalg.norm(before + share * gap - after) > moved.errors[slot]:
            return None
        shares.append(1 - share)
    if abs(shares[0] - shares[1]) < 1e-4 * (1 - shares[0]):
        return None
    first, second = evidence.labels
    return f"The {MEANS[slot]} fits {shares[0]:.5g} in {first} and {shares[1]:.5g} in {second}."


def _rules(evidence: Evidence) -> dict[str, Rule] | None:
    """Returns the rules; None where an update does not follow from one step's gradient."""
    experiment = evidence.traces[0].experiment
    values = evidence.values(key("update", evidence.place.name.partition("/")[0]))
    if values is None or experiment.get("accumulate", 1) != 1:
        return None
    try:
        spec: OptimizerSpec = TypeAdapter(OptimizerSpec).validate_python(
            experiment.get("optimizer")
        )
    except ValidationError:
        return None
    return rules(spec, len(values[0].shape))


def _both(evidence: Evidence, name: str, slot: str) -> tuple[Moved, Moved] | None:
    one, other = (_moved(trace, evidence.place.step, name, slot) for trace in evidence.traces)
    if one is None or other is None or one.weight.shape != other.weight.shape:
        return None
    known = one.slots or other.slots  # a side without a momentum may have none
    return replace(one, slots=one.slots or known), replace(other, slots=other.slots or known)


def _moved(trace: Trace, step: int | None, name: str, slot: str) -> Moved | None:
    at = next((n for n, each in enumerate(trace.steps) if each.step == step), None)
    if at is None or (at == 0 and trace.steps[0].step > 0):
        return None
    traced = trace.steps[at]
    known = [traced.values.get(key(stage, name)) for stage in ("update", "gradient", "state")]
    values = [each for each in known if each is not None]
    slots = _slots(traced, name)
    if len(values) < 3 or len({each.shape for each in values}) > 1 or slot not in {"", *slots}:
        return None
    update, gradient, after = map(_wide, values)
    found, errors = {"": update}, {"": _error(update, after)}
    if slot:
        found[slot] = slots[slot]
        errors[slot] = OF_SLOTS * float(np.linalg.norm(slots[slot]))
    clipping, before = _clipping(trace, traced), _slots(trace.steps[at - 1], name) if at else {}
    rate = traced.learning_rate
    return Moved(after - update, gradient * clipping, found, errors, before, rate, at, clipping)


def _error(update: Wide, after: Wide) -> float:
    """Returns the largest L2 norm of the rounding of an update, of which parameters lose most."""
    spacing = np.spacing(np.abs(after).astype(np.float32)).astype(np.float64)
    return float(ROUNDINGS * np.linalg.norm(spacing) + RELATIVE * np.linalg.norm(update))


def _slots(step: TracedStep, name: str) -> dict[str, Wide]:
    """Returns the slots of the parameter's shape after a step; its average is none."""
    parameter = step.values.get(key("state", name))
    start = f"{key('state', name)}/"
    found = {
        at.removeprefix(start): _wide(values)
        for at, values in step.values.items()
        if parameter is not None and at.startswith(start) and values.shape == parameter.shape
    }
    found.pop("average", None)
    return found


def _clipping(trace: Trace, step: TracedStep) -> float:
    most: Any = trace.experiment.get("clip_grad_norm")
    if not isinstance(most, (int, float)):
        return 1.0
    squares = [v.norm**2 for at, v in step.values.items() if at.startswith("gradient/")]
    return min(1.0, most / (float(np.sqrt(sum(squares))) + CLIP_EPS))


def _wide(values: Values) -> Wide:
    return values.samples.astype(np.float64)
