"""Local differences: what a layer makes of the very inputs that another side's layer had.

The differences of a trace accumulate: a layer that computes exactly the same passes on what came
off before it. With whole arrays, every layer runs alone, on both sides, on the same inputs and the
same gradient of its output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.comparing.rounding import distance
from isotune.equivalence.local.runs import Given, Runner, Runs, output_key, run_layers
from isotune.equivalence.traces.sampling import difference, values_of
from isotune.equivalence.traces.trace import Trace, TracedStep, key, path_of
from isotune.interfaces.names import is_parameter
from isotune.interfaces.tracer import LayerRun

Array = NDArray[np.float32]

KEPT_RUNS = 8
"""Number of layers' runs that are kept as a whole, for causes to look at."""

SUSPICIOUS = 16.0
"""A run is kept if it differs by more than so many of its yardsticks, ..."""

ROUNDING = 1e-5
"""... and by more than this."""


@dataclass(frozen=True)
class LocalDifference:
    """A local difference, relative to the value's size.

    Attributes:
        difference: Relative difference between the sides.
        yardstick: The larger one of the differences of each side from itself when something changes
            that ought not to matter.
    """

    difference: float
    yardstick: float


@dataclass(frozen=True, eq=False)
class LocalDifferences:
    """What one side's layers make of the other side's inputs.

    Attributes:
        step: Number of the training step that the inputs are of.
        values: By the keys of :class:`isotune.equivalence.local.runs.Runs`, in order of execution.
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


def local_differences(
    trace: Trace, runner: Runner, state: Mapping[str, NDArray[np.generic]], step: int = 0
) -> LocalDifferences:
    """Runs each layer of a live side on the recorded inputs, and compares what comes out.

    Args:
        trace: The recorded trace, with whole arrays.
        runner: The live side, as it makes the step.
        state: The live side's parameters and BatchNorm statistics from before the step.
        step: Number of the step; the trace must have it.
    """
    traced = next(each for each in trace.steps if each.step == step)
    apart: dict[str, float] = {}
    skipped: dict[str, str] = {}
    kept: dict[str, LayerRun] = {}

    def look(call: Given, run: LayerRun, runs: Runs) -> None:
        found = _compared(traced, call, run, runs)
        if output_key(call.name) not in found:
            skipped[call.name] = "its output has another shape."
            return
        apart.update(found)
        far = (LocalDifference(found[at], _yardstick(traced, runs, at)) for at in found)
        if len(kept) < KEPT_RUNS and any(map(_suspicious, far)):
            kept[call.name] = run

    runs = run_layers(traced.whole, runner, look)
    paths = tuple(f"{path_of(name)}." for name in kept)
    return LocalDifferences(
        traced.step,
        {at: LocalDifference(each, _yardstick(traced, runs, at)) for at, each in apart.items()},
        {**runs.skipped, **skipped},
        kept,
        {
            name: np.asarray(value, np.float32)
            for name, value in state.items()
            if name.startswith(paths) or not is_parameter(name)
        },
    )


def _yardstick(traced: TracedStep, runs: Runs, at: str) -> float:
    return max(traced.run_yardsticks.get(at, 0.0), runs.yardsticks[at])


def _suspicious(found: LocalDifference) -> bool:
    return found.difference > max(ROUNDING, SUSPICIOUS * found.yardstick)


def _compared(traced: TracedStep, call: Given, run: LayerRun, runs: Runs) -> dict[str, float]:
    """Returns the relative differences of what a call has computed, by key."""
    found = {}
    for at, array in call.results(run):
        recorded = traced.runs.get(at)
        if recorded is None or recorded.shape != array.shape:
            continue
        live = runs.values[at]
        size = max(recorded.norm, live.norm)
        norms = abs(recorded.norm - live.norm) / size if size else 0.0
        apart = max(difference(recorded.samples, live.samples), norms)
        if at == output_key(call.name) and (whole := _same_whole(traced, call.name)) is not None:
            apart = difference(whole, array)
        found[at] = apart if not math.isnan(apart) else math.inf
    return found


def _same_whole(traced: TracedStep, name: str) -> Array | None:
    """Returns the recorded output of a call, if the recorded layer gives the same alone.

    One that drops elements does not in its second call: alone, it drops those of its first.
    """
    whole, at = traced.whole.get(key("forward", name)), output_key(name)
    if whole is None or whole.shape != traced.runs[at].shape:
        return None
    alone = distance(values_of(at, whole), traced.runs[at])
    same = LocalDifference(alone, traced.run_yardsticks.get(at, 0.0))
    return None if _suspicious(same) else whole
