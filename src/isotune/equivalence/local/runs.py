"""Layers that run alone on whole arrays of a step, and how much they differ from themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.comparing.rounding import distance, ulps_of
from isotune.equivalence.local.whole import input_key
from isotune.equivalence.traces.sampling import Values, difference, values_of
from isotune.equivalence.traces.trace import key, path_of
from isotune.errors import BackendError
from isotune.interfaces.tracer import LayerRun, Tracer, moved
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune.randomness import Purpose, coin_flips, named_stream
from isotune.spec.values import Precision

Array = NDArray[np.float32]


def output_key(name: str) -> str:
    """Returns the key of what a layer's call, named as in ``forward``, returns when run alone."""
    return f"output/{name}"


def input_gradient_key(name: str, number: int) -> str:
    """Returns the key of the gradient of one of the inputs of such a call."""
    return f"inputs/{name}/{number}"


def parameter_gradient_key(name: str, parameter: str) -> str:
    """Returns the key of the gradient of a parameter in such a call.

    It begins with the parameter: the samples are at the places of ``gradient/PARAMETER``.
    """
    return f"parameters/{parameter}/{name}"


def nudged(name: str, array: Array, ulps: int = 1) -> Array:
    """Returns an array with every number moved by so many float32, up or down by its name."""
    up = coin_flips(named_stream(0, Purpose.NUDGE, name), array.size).reshape(array.shape)
    return moved(np.ascontiguousarray(array), up, ulps)


@dataclass(frozen=True, eq=False)
class Given:
    """What a layer's call was given.

    Attributes:
        name: The call's name.
        inputs: The layer's inputs.
        gradient: Gradient of its output; None if it has none.
        parts: Paths of all layers that run.
    """

    name: str
    inputs: Sequence[Array]
    gradient: Array | None
    parts: Set[str]

    def nudged(self, ulps: int) -> Given:
        """Returns the same call with inputs and gradient moved by so many float32 numbers."""
        inputs = [nudged(f"{self.name}/{n}", array, ulps) for n, array in enumerate(self.inputs)]
        gradient = None if self.gradient is None else nudged(self.name, self.gradient, ulps)
        return replace(self, inputs=inputs, gradient=gradient)

    def results(self, run: LayerRun) -> Iterator[tuple[str, Array]]:
        """Yields what the call has computed, by key, without what its parts' own runs give."""
        yield output_key(self.name), run.output
        for number, array in enumerate(run.inputs):
            if array is not None:
                yield input_gradient_key(self.name, number), array
        for parameter, array in run.parameters.items():
            if self._owner(parameter) == path_of(self.name):
                yield parameter_gradient_key(self.name, parameter), array

    def _owner(self, parameter: str) -> str:
        """Returns the deepest layer that runs and has the parameter."""
        path = parameter.rpartition(".")[0]
        while path and path not in self.parts:
            path = path.rpartition(".")[0]
        return path


def calls(whole: Mapping[str, Array]) -> Iterator[Given]:
    """Yields the calls whose inputs are known, in order of execution.

    Args:
        whole: As in :class:`isotune.equivalence.traces.trace.TracedStep`.
    """
    names = [name for at in whole for stage, _, name in [at.partition("/")] if stage == "forward"]
    names = [name for name in names if input_key(name, 0) in whole]
    parts = {path_of(name) for name in names}
    for name in names:
        inputs: list[Array] = []
        while (number := input_key(name, len(inputs))) in whole:
            inputs.append(whole[number])
        yield Given(name, inputs, whole.get(key("backward", name)), parts)


@dataclass(frozen=True, eq=False)
class Runner:
    """Who runs layers.

    Attributes:
        tracer: The backend's tracer.
        trainer: The trainer, with the state from before the step.
        plan: The step.
        precision: The precision in which layers compute, whose ulp is what inputs are nudged by.
    """

    tracer: Tracer
    trainer: Trainer
    plan: StepPlan
    precision: Precision = "fp32"

    def run(self, call: Given) -> LayerRun:
        """Runs a call.

        Raises:
            BackendError: The layer does not run alone.
        """
        path = path_of(call.name)
        return self.tracer.run(self.trainer, path, call.inputs, call.gradient, self.plan)


@dataclass(frozen=True, eq=False)
class Runs:
    """What layers compute when they run alone.

    Attributes:
        values: What is kept of it, by :func:`output_key`, :func:`input_gradient_key` and
            :func:`parameter_gradient_key`, in order of execution.
        yardsticks: How much it differs from itself when something changes that ought not to matter,
            by the same keys: the largest relative difference.
        skipped: Why layers do not run alone, by the name of the call, in a sentence.
    """

    values: dict[str, Values] = field(default_factory=dict)
    yardsticks: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run_layers(
    whole: Mapping[str, Array],
    runner: Runner,
    look: Callable[[Given, LayerRun, Runs], None] = lambda *_: None,
) -> Runs:
    """Runs each layer alone on its whole inputs: as it is, nudged, and in the tracer's variants.

    Args:
        whole: As in :class:`isotune.equivalence.traces.trace.TracedStep`.
        runner: Who runs them.
        look: Is shown what each call computes, with what is kept so far.
    """
    runs, ulps = Runs(), ulps_of(runner.precision)
    for call in calls(whole):
        try:
            run = runner.run(call)
            again = dict(call.results(runner.run(call.nudged(ulps))))
        except BackendError as error:
            runs.skipped[call.name] = str(error)
            continue
        for at, array in call.results(run):
            runs.values[at] = values_of(at, array)
            runs.yardsticks[at] = difference(array, again[at]) if at in again else 0.0
        look(call, run, runs)
    for variant in runner.tracer.variants(runner.trainer).values():
        with variant:
            _vary(whole, runner, runs)
    return runs


def _vary(whole: Mapping[str, Array], runner: Runner, runs: Runs) -> None:
    """Runs each layer once more, in a variant, for its yardsticks."""
    for call in calls(whole):
        if call.name in runs.skipped:
            continue
        try:
            found = runner.run(call)
        except BackendError:
            continue  # a variant may not be for all layers: its yardsticks lack one change
        for at, array in call.results(found):
            if at in runs.values:
                apart = distance(runs.values[at], values_of(at, array))
                runs.yardsticks[at] = max(runs.yardsticks[at], apart)
