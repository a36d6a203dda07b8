"""By which rule a parameter moves: weight decay, momentum, bias correction, learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from isotune.equivalence.causes.arithmetic import number
from isotune.equivalence.causes.evidence import Evidence
from isotune.equivalence.sampling import Values
from isotune.equivalence.trace import Trace, TracedStep, key
from isotune.spec.optimizer import AdamWSpec, OptimizerSpec, SGDSpec

Wide = NDArray[np.float64]

ROUNDINGS = 8.0
"""How many times the rounding of a parameter its update may be off."""

CLIP_EPS = 1e-6
"""As in :class:`isotune.interfaces.trainer.TrainingPlan`."""


@dataclass(frozen=True, eq=False)
class _Moved:
    """Samples of a parameter before its update, and of what moves it.

    Attributes:
        weight: The parameter before the update.
        gradient: Its gradient, clipped.
        update: What was added to it.
        slots: The optimizer's slots before the update; empty before the first one.
        rate: The learning rate.
        updates: Number of updates before this one.
        error: Largest L2 norm of what rounding makes of the update.
    """

    weight: Wide
    gradient: Wide
    update: Wide
    slots: Mapping[str, Wide]
    rate: float
    updates: int
    error: float

    def slot(self, name: str) -> Wide:
        return self.slots.get(name, np.zeros_like(self.weight))

    def off(self, expected: Wide) -> float:
        """Returns how far the update is from an expected one, in what rounding allows."""
        allowed = self.error + 3e-6 * float(np.linalg.norm(self.update))
        found = float(np.linalg.norm(expected - self.update)) / (allowed or 1e-30)
        return found if np.isfinite(found) else np.inf


@dataclass(frozen=True)
class _Rule:
    """A rule of SGD, or of Adam where `betas` are there.

    Attributes:
        decay: Weight decay of the parameter.
        decoupled: Whether the decay is apart from the gradient.
        decay_by_rate: Whether a decoupled decay is multiplied by the learning rate.
    """

    decay: float
    decoupled: bool = False
    decay_by_rate: bool = True
    momentum: float = 0.0
    nesterov: bool = False
    dampening: float = 0.0
    betas: tuple[float, float] | None = None
    eps: float = 0.0
    eps_at: str = "after"
    corrected: bool = True

    def update(self, moved: _Moved) -> Wide:
        """Returns the update, as the pages of torch.optim write it."""
        gradient = moved.gradient
        if not self.decoupled:
            gradient = gradient + self.decay * moved.weight
        step = self._sgd(gradient, moved) if self.betas is None else self._adam(gradient, moved)
        decay = self.decay * moved.weight if self.decoupled else 0.0
        return -moved.rate * step - (moved.rate if self.decay_by_rate else 1.0) * decay

    def _sgd(self, gradient: Wide, moved: _Moved) -> Wide:
        if not self.momentum:
            return gradient
        # PyTorch does not dampen the first gradient.
        share = 1 - self.dampening if "momentum_buffer" in moved.slots else 1.0
        buffer = self.momentum * moved.slot("momentum_buffer") + share * gradient
        return gradient + self.momentum * buffer if self.nesterov else buffer

    def _adam(self, gradient: Wide, moved: _Moved) -> Wide:
        assert self.betas is not None
        (first, second), count = self.betas, moved.updates + 1
        mean = first * moved.slot("exp_avg") + (1 - first) * gradient
        square = second * moved.slot("exp_avg_sq") + (1 - second) * gradient**2
        corrections = (1 - first**count, 1 - second**count) if self.corrected else (1.0, 1.0)
        if self.eps_at == "within":
            root = np.sqrt(square / corrections[1] + self.eps)
        elif self.eps_at == "before":
            root = (np.sqrt(square) + self.eps) / np.sqrt(corrections[1])
        else:
            root = np.sqrt(square / corrections[1]) + self.eps
        return np.asarray(mean / corrections[0] / root)


def other_rule(evidence: Evidence) -> str | None:
    """Finds the rule that each side's update fits, where only one fits that of the spec."""
    if evidence.place.stage != "update" or evidence.steps is None:
        return None
    name, rules = evidence.place.name, _rules(evidence)
    sides = [_moved(trace, evidence.place.step, name) for trace in evidence.traces]
    known = next((moved.slots for moved in sides if moved is not None and moved.slots), {})
    sides = [moved and replace(moved, slots=moved.slots or known) for moved in sides]
    if rules is None or sides[0] is None or sides[1] is None:
        return None
    found = [_fitting(rules, moved) for moved in sides if moved is not None]
    first, second = evidence.labels
    if "" in found and found[0] != found[1] and None not in found:
        wrong = 1 if found[0] == "" else 0
        right = evidence.labels[1 - wrong]
        return f"{evidence.labels[wrong]} fits {found[wrong]}; {right} fits the spec's optimizer."
    scales = [_scale(rules[""], moved) for moved in sides if moved is not None]
    if scales[0] is None or scales[1] is None or abs(scales[1] / scales[0] - 1) < 1e-3:
        return None
    return (
        f"Each side fits the spec's optimizer, but {second} with {number(scales[1] / scales[0])}"
        f" times the learning rate of {first}."
    )


def _fitting(rules: Mapping[str, _Rule], moved: _Moved) -> str | None:
    """Returns what is said of the rule that fits: nothing of the spec's; None if none fits."""
    off = {name: moved.off(rule.update(moved)) for name, rule in rules.items()}
    if off[""] <= 1:
        return ""
    best = min(off, key=lambda name: off[name])
    return best if off[best] <= 1 else None


def _scale(rule: _Rule, moved: _Moved) -> float | None:
    """Returns by which factor of the learning rate the update fits; None if by none."""
    expected = rule.update(moved)
    square = float(expected @ expected)
    factor = float(expected @ moved.update) / square if square else 0.0
    return factor if factor and moved.off(factor * expected) <= 1 else None


def _rules(evidence: Evidence) -> dict[str, _Rule] | None:
    """Returns the spec's rule for the parameter, by an empty text, and faulty ones by their names.

    None where the update does not follow from one step's gradient.
    """
    experiment = evidence.traces[0].experiment
    values = evidence.values(evidence.key)
    if values is None or experiment.get("accumulate", 1) != 1:
        return None
    try:
        spec: OptimizerSpec = TypeAdapter(OptimizerSpec).validate_python(
            experiment.get("optimizer")
        )
    except ValidationError:
        return None
    spared = spec.no_decay == "norms_and_biases" and len(values[0].shape) <= 1
    decay = 0.0 if spared else spec.weight_decay
    if isinstance(spec, SGDSpec):
        rule = _Rule(decay, momentum=spec.momentum, nesterov=spec.nesterov)
        return {"": rule, **dict(_decays(rule, spec.weight_decay)), **dict(_of_sgd(rule))}
    rule = _Rule(decay, isinstance(spec, AdamWSpec), betas=spec.betas, eps=spec.eps)
    return {"": rule, **dict(_decays(rule, spec.weight_decay)), **dict(_of_adam(rule))}


def _decays(rule: _Rule, decay: float) -> Iterator[tuple[str, _Rule]]:
    if not rule.decay and decay:
        yield "weight decay of a parameter that the spec spares", replace(rule, decay=decay)
    if not rule.decay:
        return
    yield "no weight decay", replace(rule, decay=0.0)
    yield "weight decay with the wrong sign", replace(rule, decay=-rule.decay)
    yield "weight decay applied twice", replace(rule, decay=2 * rule.decay)
    if rule.decoupled:
        yield "weight decay added to the gradient, as in Adam", replace(rule, decoupled=False)
        yield "weight decay without the learning rate", replace(rule, decay_by_rate=False)
    else:
        yield "weight decay apart from the gradient, as in AdamW", replace(rule, decoupled=True)


def _of_sgd(rule: _Rule) -> Iterator[tuple[str, _Rule]]:
    if not rule.momentum:
        return
    if rule.nesterov:
        yield "momentum without Nesterov's step ahead", replace(rule, nesterov=False)
    else:
        yield "Nesterov's momentum", replace(rule, nesterov=True)
    yield "no momentum", replace(rule, momentum=0.0, nesterov=False)
    yield "momentum that is dampened", replace(rule, dampening=rule.momentum)


def _of_adam(rule: _Rule) -> Iterator[tuple[str, _Rule]]:
    assert rule.betas is not None
    first, second = rule.betas
    yield "no bias correction", replace(rule, corrected=False)
    yield "betas in the wrong order", replace(rule, betas=(second, first))
    yield "eps within the square root", replace(rule, eps_at="within")
    yield "eps added before the bias correction", replace(rule, eps_at="before")
    for power in (-3, -2, -1, 1, 2, 3):
        eps = rule.eps * 10.0**power
        yield f"eps {number(eps)} instead of {number(rule.eps)}", replace(rule, eps=eps)


def _moved(trace: Trace, step: int | None, name: str) -> _Moved | None:
    at = next((n for n, each in enumerate(trace.steps) if each.step == step), None)
    if at is None:
        return None
    traced = trace.steps[at]
    known = [traced.values.get(key(stage, name)) for stage in ("update", "gradient", "state")]
    if any(each is None for each in known) or (at == 0 and traced.step > 0):
        return None
    update, gradient, after = (_wide(each) for each in known if each is not None)
    before = trace.steps[at - 1] if at else None
    error = ROUNDINGS * float(np.linalg.norm(np.spacing(np.abs(after).astype(np.float32))))
    return _Moved(
        after - update,
        gradient * _clipping(trace, traced),
        update,
        {} if before is None else _slots(before, name),
        traced.learning_rate,
        at,
        error,
    )


def _slots(before: TracedStep, name: str) -> dict[str, Wide]:
    start = f"{key('state', name)}/"
    return {
        at.removeprefix(start): _wide(values)
        for at, values in before.values.items()
        if at.startswith(start) and values.shape
    }


def _clipping(trace: Trace, step: TracedStep) -> float:
    most: Any = trace.experiment.get("clip_grad_norm")
    if not isinstance(most, (int, float)):
        return 1.0
    squares = [v.norm**2 for at, v in step.values.items() if at.startswith("gradient/")]
    return min(1.0, most / (float(np.sqrt(sum(squares))) + CLIP_EPS))


def _wide(values: Values) -> Wide:
    return values.samples.astype(np.float64)
