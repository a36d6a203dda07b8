"""Companions of a recording: one keeps whole arrays, one compares layers with a recorded trace's.

Both are about the first traced step, whose state is the same on both sides, and about a batch that
one process computes as a whole: parts of a divided batch are not put together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from isotune.equivalence.local.differences import LocalDifferences, local_differences
from isotune.equivalence.local.runs import Runner, Runs, run_layers
from isotune.equivalence.local.whole import WholeArrays
from isotune.equivalence.recording.live import LiveSide, Step
from isotune.equivalence.recording.steps import Companion
from isotune.equivalence.recording.watching import StepRecorder
from isotune.equivalence.traces.trace import Trace, TracedStep, call_name, key
from isotune.interfaces.tracer import Array
from isotune.interfaces.trainer import StepPlan


class _FirstStep(StepRecorder):
    """Keeps the first step's arrays as they are."""

    inputs = True

    def __init__(self, whole: WholeArrays) -> None:
        self.step: int | None = None
        self._whole = whole
        self._calls: Counter[str] = Counter()
        self._keeps = False

    def begin(self, step: Step, plan: StepPlan) -> None:
        """Begins a step, or a part of a step's batch."""
        if self.step is None and _undivided(step):
            self.step, self._keeps = step.number, True
        else:
            self._keeps = False

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        """Keeps inputs and output of a call of a layer."""
        if self._keeps:
            self._whole.keep_call(path, self._calls[path], inputs, output)
            self._calls[path] += 1

    def backward(self, path: str, call: int, gradient: Array) -> None:
        """Keeps the gradient of a layer's output."""
        if self._keeps:
            self._whole.keep(key("backward", call_name(path, call)), gradient)

    def gradient(self, parameter: str, gradient: Array) -> None:
        """Keeps nothing: a layer that runs alone has the gradients of its parameters again."""


class RecordWhole(Companion):
    """Adds whole arrays to the first traced step, and what each layer computes of them alone.

    Nothing is added where a batch is divided.

    Args:
        folder: Where the arrays are kept until the trace is no longer used; None is the system's
            folder for temporary files.

    Raises:
        RunError: The disk has too little room.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._whole = WholeArrays(folder)
        self._first = _FirstStep(self._whole)
        self._runs = Runs()
        self.recorder = self._first

    def close(self) -> None:
        """Forgets the whole arrays, once the trace is no longer used."""
        self._whole.close()

    def watched(self, live: LiveSide, update: Sequence[Step]) -> None:
        """Runs each layer alone."""
        for step in update:
            if step.number == self._first.step:
                self._runs = run_layers(self._whole, _runner(live, step))

    def completed(self, step: TracedStep) -> TracedStep:
        """Returns the first step with its whole arrays."""
        if step.step != self._first.step:
            return step
        found = self._runs
        return replace(step, whole=self._whole, runs=found.values, run_yardsticks=found.yardsticks)


class CompareLocally(Companion):
    """Runs each layer on the inputs that it had in a recorded trace.

    Attributes:
        found: The local differences; None where the trace has no whole arrays, or the live side
            divides its batches.

    Args:
        trace: The recorded trace.
    """

    def __init__(self, trace: Trace) -> None:
        self.found: LocalDifferences | None = None
        self._trace = trace

    def watched(self, live: LiveSide, update: Sequence[Step]) -> None:
        """Runs each layer alone, and compares."""
        recorded = {step.step for step in self._trace.steps if step.whole}
        for step in update:
            if self.found is None and step.number in recorded and _undivided(step):
                self.found = local_differences(
                    self._trace, _runner(live, step), live.model_state(), step.number
                )


def _runner(live: LiveSide, step: Step) -> Runner:
    return Runner(live.tracer, live.trainer, step.plans[0], live.plan.precision)


def _undivided(step: Step) -> bool:
    return len(step.plans) == 1 and step.plans[0].part is None
