"""Watched training steps, of a backend and of the reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from isotune.equivalence.traces.sampling import difference
from isotune.equivalence.traces.trace import call_name, path_of
from isotune.interfaces.division import Division
from isotune.interfaces.names import is_under
from isotune.interfaces.tracer import Array, Recorder, Tracer
from isotune.interfaces.trainer import HostOutputs, StepPlan, TrainingPlan
from isotune.testing.divided import PartStep, Update
from isotune.testing.reference.trainer import ReferenceTrainer
from isotune.testing.reference.watched import watch
from isotune.testing.subject import Learner, Subject, in_bytes
from isotune.testing.values import NORMALIZATION

RELATIVE = 1e-4
"""Largest relative difference (L2) of an output or a gradient from the float64 reference's."""


@dataclass
class Collected(Recorder):
    """Keeps what is reported of a step.

    Attributes:
        entered: Inputs of layers, by :func:`isotune.equivalence.traces.trace.call_name`.
        outputs: Their outputs, in order of execution.
        slopes: Gradients of the outputs, by the same names.
        gradients: Gradients of parameters.
    """

    inputs = True
    entered: dict[str, list[Array]] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)
    slopes: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        """Keeps an output and its inputs."""
        name = call_name(path, self.calls[path])
        self.calls[path] += 1
        self.entered[name] = [np.array(each) for each in inputs]
        self.outputs[name] = np.array(output)

    def backward(self, path: str, call: int, gradient: Array) -> None:
        """Keeps the gradient of an output."""
        self.slopes[call_name(path, call)] = np.array(gradient)

    def gradient(self, parameter: str, gradient: Array) -> None:
        """Keeps the gradient of a parameter."""
        self.gradients[parameter] = np.array(gradient)


@dataclass(frozen=True)
class WatchedStep:
    """A watched step on a part of a batch, or on a whole one.

    Attributes:
        step: The step.
        seen: What was reported.
        outputs: Its results.
        itself: Whether the tracer says that the watched step is the step itself.
    """

    step: PartStep
    seen: Collected
    outputs: HostOutputs
    itself: bool


def tracer_of(subject: Subject) -> Tracer:
    """Returns the backend's tracer."""
    assert subject.backend.tracer is not None, "Backend.tracer is None"
    return subject.backend.tracer


def watched_steps(
    learner: Learner, updates: Sequence[Update], plan: TrainingPlan
) -> list[WatchedStep]:
    """Makes the steps of one process, each of them watched by itself."""
    tracer, found = learner.backend.tracer, list[WatchedStep]()
    assert tracer is not None, "Backend.tracer is None"
    steps = [each for update in updates for each in update.part_steps(plan, Division(plan.shards))]
    fed = learner.backend.dataset.feed((step.images for step in steps), NORMALIZATION)
    for batch, step in zip(fed, steps, strict=True):
        seen = Collected()
        with tracer.watch(learner.trainer, seen) as itself:
            own = replace(batch, size=len(step.part))
            (outputs,) = learner.trainer.fetch([learner.trainer.train_step(own, step.plan)])
        found.append(WatchedStep(step, seen, outputs, itself))
    return found


def watched_passes(reference: ReferenceTrainer, updates: Sequence[Update]) -> list[Collected]:
    """Makes the reference's updates; returns what it computes of each part that has images."""
    passes = list[Collected]()

    def begin() -> Collected:
        passes.append(Collected())
        return passes[-1]

    with watch(reference, begin):
        for each in updates:
            reference.train_update(each.batches, each.rate, each.step, each.momentum, each.decay)
    return passes


def assert_same_values(
    found: Mapping[str, Array], expected: Mapping[str, Array], names: Iterable[str]
) -> None:
    """Compares arrays, each relative to its size.

    Args:
        found: A backend's, by name.
        expected: The reference's.
        names: Those that the backend has to have.
    """
    assert not set(names) - found.keys(), (
        f"nothing is reported of {sorted(set(names) - found.keys())}"
    )
    for name in found.keys() & expected.keys():
        value = found[name]
        assert value.dtype == np.float32, name
        assert value.shape == expected[name].shape, name
        off = difference(value, expected[name])
        assert off <= RELATIVE, f"{name or 'the model'}: {off:.1e} off, {RELATIVE:.0e} is allowed"


def check_runs(learner: Learner, seen: Collected, plan: StepPlan) -> None:
    """Runs each layer on what was reported of a step that has changed no parameter.

    Each comes to the reported output, and all calls of one to the gradients of its parameters.
    Where an input is another layer's output, the gradient with respect to it is that output's.
    """
    tracer, before = learner.backend.tracer, _states(learner)
    assert tracer is not None
    totals: dict[str, dict[str, Array]] = {}
    for name, inputs in seen.entered.items():
        path, given = path_of(name), [_read_only(each) for each in inputs]
        alone = tracer.run(learner.trainer, path, given, None, plan)
        assert not alone.inputs and not alone.parameters
        assert_same_values({name: alone.output}, seen.outputs, [name])
        if name in seen.slopes:
            run = tracer.run(learner.trainer, path, given, _read_only(seen.slopes[name]), plan)
            assert_same_values({name: run.output}, seen.outputs, [name])
            total = totals.setdefault(path, {})
            for parameter, value in run.parameters.items():
                total[parameter] = total.get(parameter, np.float32(0)) + value
            for one, gradient in zip(inputs, run.inputs, strict=True):
                _check_slope(seen, one, gradient)
    for path, total in totals.items():
        under = {each for each in seen.gradients if not path or is_under(path, each)}
        assert total.keys() == under
        assert_same_values(total, seen.gradients, under)
    assert _states(learner) == before


def _check_slope(seen: Collected, entered: Array, gradient: Array | None) -> None:
    """Compares the gradient of an input with that of the output that it was."""
    for name, output in seen.outputs.items():
        same = output.shape == entered.shape and np.array_equal(output, entered)
        if same and name in seen.slopes:
            assert gradient is not None
            assert_same_values({name: gradient}, seen.slopes, [name])


def _states(learner: Learner) -> Any:
    return in_bytes(learner.state()), in_bytes(learner.optimizer_state())


def _read_only(array: Array) -> Array:
    """Returns an array as it comes from a file that is mapped into memory."""
    view = array.view()
    view.flags.writeable = False
    return view
