"""Local differences: what a layer makes of the very inputs that another side's layer had.

The differences of a trace accumulate: a layer that computes exactly the same passes on what came
off before it. With whole arrays, every layer runs alone, on both sides, on the same inputs and the
same gradient of its output.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.local.whole import input_key
from isotune.equivalence.traces.sampling import Values, difference, values_of
from isotune.equivalence.traces.trace import Trace, TracedStep, key, path_of
from isotune.errors import BackendError
from isotune.interfaces.names import is_parameter
from isotune.interfaces.tracer import LayerRun, Tracer
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune.randomness import Purpose, coin_flips, named_stream

Array = NDArray[np.float32]

KEPT_RUNS = 8
"""Number of layers' runs that are kept as a whole, for causes to look at."""

SUSPICIOUS = 16.0
"""A run is kept if it differs by more than so many of its yardsticks, ..."""

ROUNDING = 1e-5
"""... and by more than this."""


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


@dataclass(frozen=True)
class LocalDifference:
    """A local difference, relative to the value's size.

    Attributes:
        difference: Relative difference between the sides.
        yardstick: The larger one of the differences of each side from itself when the inputs and
            the output's gradient are nudged by one ulp.
    """

    difference: float
    yardstick: float


@dataclass(frozen=True, eq=False)
class LocalDifferences:
    """What one side's layers make of the other side's inputs.

    Attributes:
        step: Number of the training step that the inputs are of.
        values: By :func:`output_key`, :func:`input_gradient_key` and
            :func:`parameter_gradient_key`, in order of execution.
        skipped: Why layers were not compared, by the name of the call, in a sentence.
        runs: What the live side has computed, by the name of the call: of the first layers that
            look as if they differed, as a whole.
        state: The live side's parameters of these layers, and all of its BatchNorm statistics,
            before the step.
    """

    step: int
    values: Mapping[str, LocalDifference]
    skipped: Mapping[str, str] = field(default_factory=dict)
    runs: Mapping[str, LayerRun] = field(default_factory=dict)
    state: Mapping[str, Array] = field(default_factory=dict)

    def of(self, name: str) -> LocalDifference | None:
        """Returns the local difference that belongs to a value of a trace; None without one.

        That of an output is its layer's; that of the gradient of an output is what the layer makes
        of it, which is the gradients of its inputs; that of a parameter's gradient is the layer's
        which uses it. Of several, the largest in yardsticks counts.

        Args:
            name: The value's key in the trace, of any stage.
        """
        stage, _, rest = name.partition("/")
        if stage == "forward":
            return self.values.get(output_key(rest))
        if stage == "backward":
            return self._worst(self._parts.get(f"inputs/{rest}", ()))
        if stage == "gradient":
            return self._worst(self._parts.get(f"parameters/{rest}", ()))
        return None

    @cached_property
    def _parts(self) -> Mapping[str, Sequence[str]]:
        """Keys of gradients by all of a key except its last part."""
        found: dict[str, list[str]] = {}
        for at in self.values:
            found.setdefault(at.rpartition("/")[0], []).append(at)
        return found

    def _worst(self, names: Sequence[str]) -> LocalDifference | None:
        found = (self.values[name] for name in names)
        return max(found, key=lambda each: each.difference / (each.yardstick or 1e-9), default=None)


def nudged(name: str, array: Array) -> Array:
    """Returns an array with every number moved to a neighboring float32, up or down by its name."""
    up = coin_flips(named_stream(0, Purpose.NUDGE, name), array.size).reshape(array.shape)
    return np.nextafter(array, np.where(up, np.float32(np.inf), np.float32(-np.inf)))


@dataclass(frozen=True, eq=False)
class _Given:
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

    def nudged(self) -> _Given:
        inputs = [nudged(f"{self.name}/{n}", array) for n, array in enumerate(self.inputs)]
        gradient = None if self.gradient is None else nudged(self.name, self.gradient)
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


def _calls(whole: Mapping[str, Array]) -> Iterator[_Given]:
    """Yields the calls whose inputs are known, in order of execution."""
    names = [name for at in whole for stage, _, name in [at.partition("/")] if stage == "forward"]
    names = [name for name in names if input_key(name, 0) in whole]
    parts = {path_of(name) for name in names}
    for name in names:
        inputs: list[Array] = []
        while (number := input_key(name, len(inputs))) in whole:
            inputs.append(whole[number])
        yield _Given(name, inputs, whole.get(key("backward", name)), parts)


@dataclass(frozen=True, eq=False)
class _Side:
    """Who runs layers."""

    tracer: Tracer
    trainer: Trainer
    plan: StepPlan

    def run(self, call: _Given) -> LayerRun:
        path = path_of(call.name)
        return self.tracer.run(self.trainer, path, call.inputs, call.gradient, self.plan)

    def yardsticks(self, call: _Given, run: LayerRun) -> dict[str, float]:
        """Runs the call once more, nudged; returns the relative differences by key."""
        again = dict(call.results(self.run(call.nudged())))
        return {at: difference(array, again[at]) for at, array in call.results(run) if at in again}


def run_layers(
    whole: Mapping[str, Array], tracer: Tracer, trainer: Trainer, plan: StepPlan
) -> tuple[dict[str, Values], dict[str, float]]:
    """Runs each layer alone on its whole inputs: the recording side's half.

    Args:
        whole: As in :class:`isotune.equivalence.traces.trace.TracedStep`.
        tracer: The backend's tracer.
        trainer: The trainer, with the state from before the step.
        plan: The step.

    Returns:
        What is kept of what the layers compute, and how much it differs when inputs are nudged,
        both by the keys of :class:`LocalDifferences`, in order of execution; nothing of layers that
        do not run alone.
    """
    side = _Side(tracer, trainer, plan)
    values: dict[str, Values] = {}
    yardsticks: dict[str, float] = {}
    for call in _calls(whole):
        try:
            run = side.run(call)
            yardsticks.update(side.yardsticks(call, run))
        except BackendError:
            continue
        values.update((at, values_of(at, array)) for at, array in call.results(run))
    return values, yardsticks


def local_differences(
    trace: Trace,
    tracer: Tracer,
    trainer: Trainer,
    plan: StepPlan,
    state: Mapping[str, NDArray[np.generic]],
    step: int = 0,
) -> LocalDifferences:
    """Runs each layer of a live side on the recorded inputs, and compares what comes out.

    Args:
        trace: The recorded trace, with whole arrays.
        tracer: The live side's tracer.
        trainer: The live side's trainer, with the state from before the step.
        plan: The step, as the live side makes it.
        state: The live side's parameters and BatchNorm statistics from before the step.
        step: Number of the step; the trace must have it.
    """
    traced = next(each for each in trace.steps if each.step == step)
    side = _Side(tracer, trainer, plan)
    values: dict[str, LocalDifference] = {}
    skipped: dict[str, str] = {}
    runs: dict[str, LayerRun] = {}
    for call in _calls(traced.whole):
        try:
            run = side.run(call)
            own = side.yardsticks(call, run)
        except BackendError as error:
            skipped[call.name] = str(error)
            continue
        found = _compared(traced, call, run, own)
        if output_key(call.name) not in found:
            skipped[call.name] = "its output has another shape."
            continue
        values.update(found)
        if len(runs) < KEPT_RUNS and any(map(_suspicious, found.values())):
            runs[call.name] = run
    paths = tuple(f"{path_of(name)}." for name in runs)
    kept = {
        name: np.asarray(value, np.float32)
        for name, value in state.items()
        if name.startswith(paths) or not is_parameter(name)
    }
    return LocalDifferences(traced.step, values, skipped, runs, kept)


def _suspicious(found: LocalDifference) -> bool:
    return found.difference > max(ROUNDING, SUSPICIOUS * found.yardstick)


def _compared(
    traced: TracedStep, call: _Given, run: LayerRun, own: Mapping[str, float]
) -> dict[str, LocalDifference]:
    found = {}
    for at, array in call.results(run):
        recorded = traced.runs.get(at)
        if recorded is None or recorded.shape != array.shape:
            continue
        live = values_of(at, array)
        size = max(recorded.norm, live.norm)
        norms = abs(recorded.norm - live.norm) / size if size else 0.0
        apart = max(difference(recorded.samples, live.samples), norms)
        if at == output_key(call.name) and (whole := _same_whole(traced, call.name)) is not None:
            apart = difference(whole, array)
        found[at] = LocalDifference(
            apart if not math.isnan(apart) else math.inf,
            max(traced.run_yardsticks.get(at, 0.0), own.get(at, 0.0)),
        )
    return found


def _same_whole(traced: TracedStep, name: str) -> Array | None:
    """Returns the recorded output of a call, if the recorded layer gives the same alone.

    One that drops elements does not in its second call: alone, it drops those of its first.
    """
    whole, at = traced.whole.get(key("forward", name)), output_key(name)
    if whole is None or whole.shape != traced.runs[at].shape:
        return None
    alone = difference(values_of(at, whole).samples, traced.runs[at].samples)
    same = LocalDifference(alone, traced.run_yardsticks.get(at, 0.0))
    return None if _suspicious(same) else whole
