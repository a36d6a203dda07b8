"""Update rules, right and wrong, on samples of a parameter: the pages of ``torch.optim``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import number
from isotune.spec.optimizer import AdamWSpec, OptimizerSpec, SGDSpec

Wide = NDArray[np.float64]

ROUNDINGS = 8.0
"""How many times the rounding of a parameter its update may be off."""

RELATIVE = 3e-6
"""Relative error of an update beside it."""

OF_SLOTS = 3e-5
"""Relative error of a slot: 1 - beta in float32 is 1.3e-5 off for a beta of 0.999."""


@dataclass(frozen=True, eq=False)
class Moved:
    """Samples of a parameter before its update, and of what moves it.

    Attributes:
        weight: The parameter before the update.
        gradient: Its gradient, clipped.
        found: What was added to it, by an empty name, and what is in a slot after the update.
        errors: Largest L2 norms of their rounding, by the same names.
        slots: The optimizer's slots before the update; empty before the first one.
        rate: The learning rate.
        updates: Number of updates before this one.
        clipping: Factor by which the gradient was clipped.
    """

    weight: Wide
    gradient: Wide
    found: Mapping[str, Wide]
    errors: Mapping[str, float]
    slots: Mapping[str, Wide]
    rate: float
    updates: int
    clipping: float = 1.0

    def slot(self, name: str) -> Wide:
        """Returns a slot before the update."""
        return self.slots.get(name, np.zeros_like(self.weight))

    def off(self, expected: Mapping[str, Wide]) -> float:
        """Returns how far it is from what is expected, as a multiple of what rounding allows."""
        off = [
            float(np.linalg.norm(expected[name] - found)) / (self.errors[name] or 1e-30)
            for name, found in self.found.items()
        ]
        return max(each if np.isfinite(each) else np.inf for each in off)


@dataclass(frozen=True)
class Rule:
    """A rule of SGD, or of Adam where `betas` are there.

    Attributes:
        decay: Weight decay of the parameter.
        decoupled: Whether the decay is apart from the gradient.
        decay_by_rate: Whether a decoupled decay is multiplied by the learning rate.
        momentum: Momentum of SGD.
        nesterov: Whether SGD looks a step ahead.
        dampening: By how much less than 1 gradients count in SGD's buffer.
        rate_in_buffer: Whether SGD's buffer adds up updates, with the learning rate.
        betas: Decays of Adam's means.
        eps: Adam's epsilon.
        eps_at: Where it is added: to the root of the corrected mean of squares, to that mean, or
            to the root before it is corrected.
        corrected: Whether Adam corrects the bias of its means.
        clipped: Whether the gradient is clipped.
    """

    decay: float
    decoupled: bool = False
    decay_by_rate: bool = True
    momentum: float = 0.0
    nesterov: bool = False
    dampening: float = 0.0
    rate_in_buffer: bool = False
    betas: tuple[float, float] | None = None
    eps: float = 0.0
    eps_at: Literal["root", "square", "uncorrected root"] = "root"
    corrected: bool = True
    clipped: bool = True

    def results(self, moved: Moved) -> dict[str, Wide]:
        """Returns the update, by an empty name, and the slots after it."""
        gradient = moved.gradient if self.clipped else moved.gradient / moved.clipping
        if not self.decoupled:
            gradient = gradient + self.decay * moved.weight
        if self.betas is None:
            step, slots = self._sgd(gradient, moved)
        else:
            step, slots = self._adam(gradient, moved, self.betas)
        update = -moved.rate * step
        if self.decoupled:
            update -= self.decay * (moved.rate if self.decay_by_rate else 1.0) * moved.weight
        return {"": update, **slots}

    def _sgd(self, gradient: Wide, moved: Moved) -> tuple[Wide, dict[str, Wide]]:
        if not self.momentum:
            return gradient, {"momentum_buffer": gradient}
        unit = moved.rate if self.rate_in_buffer else 1.0
        old = moved.slot("momentum_buffer") / unit
        buffer = self.momentum * old + (1 - self.dampening) * gradient
        step = gradient + self.momentum * buffer if self.nesterov else buffer
        return step, {"momentum_buffer": unit * buffer}

    def _adam(
        self, gradient: Wide, moved: Moved, betas: tuple[float, float]
    ) -> tuple[Wide, dict[str, Wide]]:
        (first, second), count = betas, moved.updates + 1
        mean = first * moved.slot("exp_avg") + (1 - first) * gradient
        square = second * moved.slot("exp_avg_sq") + (1 - second) * gradient**2
        of_mean, of_square = (1 - first**count, 1 - second**count) if self.corrected else (1, 1)
        if self.eps_at == "square":
            root = np.sqrt(square / of_square + self.eps)
        elif self.eps_at == "uncorrected root":
            root = (np.sqrt(square) + self.eps) / np.sqrt(of_square)
        else:
            root = np.sqrt(square / of_square) + self.eps
        return mean / of_mean / root, {"exp_avg": mean, "exp_avg_sq": square}


def rules(spec: OptimizerSpec, dimensions: int) -> dict[str, Rule]:
    """Returns the spec's rule, by an empty text, and wrong ones by what to call them.

    Args:
        spec: The optimizer.
        dimensions: Number of dimensions of the parameter.
    """
    spared = spec.no_decay == "norms_and_biases" and dimensions <= 1
    decay = 0.0 if spared else spec.weight_decay
    if isinstance(spec, SGDSpec):
        rule = Rule(decay, momentum=spec.momentum, nesterov=spec.nesterov)
        others = _of_sgd(rule)
    else:
        rule = Rule(decay, isinstance(spec, AdamWSpec), betas=spec.betas, eps=spec.eps)
        others = _of_adam(rule, spec.betas)
    unclipped = {"a gradient that is not clipped": replace(rule, clipped=False)}
    return {"": rule, **dict(_decays(rule, spec.weight_decay)), **dict(others), **unclipped}


def _decays(rule: Rule, decay: float) -> Iterator[tuple[str, Rule]]:
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


def _of_sgd(rule: Rule) -> Iterator[tuple[str, Rule]]:
    if not rule.momentum:
        return
    if rule.nesterov:
        yield "momentum without Nesterov's step ahead", replace(rule, nesterov=False)
    else:
        yield "Nesterov's momentum", replace(rule, nesterov=True)
    yield "no momentum", replace(rule, momentum=0.0, nesterov=False)
    yield "momentum that is dampened", replace(rule, dampening=rule.momentum)
    yield "a momentum buffer with the learning rate in it", replace(rule, rate_in_buffer=True)


def _of_adam(rule: Rule, betas: tuple[float, float]) -> Iterator[tuple[str, Rule]]:
    yield "no bias correction", replace(rule, corrected=False)
    yield "betas in the wrong order", replace(rule, betas=betas[::-1])
    yield "eps within the square root", replace(rule, eps_at="square")
    yield "eps added before the bias correction", replace(rule, eps_at="uncorrected root")
    for power in (-3, -2, -1, 1, 2, 3):
        eps = rule.eps * 10.0**power
        yield f"eps {number(eps)} instead of {number(rule.eps)}", replace(rule, eps=eps)
