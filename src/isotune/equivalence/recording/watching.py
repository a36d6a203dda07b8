"""Watches the steps of an update, and keeps samples and norms of what they compute."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.recording.live import Step
from isotune.equivalence.recording.parts import Parts
from isotune.equivalence.traces.trace import call_name, key
from isotune.interfaces.division import Part
from isotune.interfaces.tracer import Array, Recorder
from isotune.interfaces.trainer import StepPlan


class StepRecorder(Recorder):
    """A recorder that knows which step, and which part of its batch, it records."""

    @abstractmethod
    def begin(self, step: Step, plan: StepPlan) -> None:
        """Begins a part of a step's batch.

        Args:
            step: The step.
            plan: The plan of this part.
        """


class Both(StepRecorder):
    """Reports to two recorders."""

    def __init__(self, one: StepRecorder, other: StepRecorder) -> None:
        self._recorders = one, other
        self.inputs = one.inputs or other.inputs

    def begin(self, step: Step, plan: StepPlan) -> None:
        """Begins a part of a step's batch."""
        for each in self._recorders:
            each.begin(step, plan)

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        """Reports the output of a call of a layer."""
        for each in self._recorders:
            each.forward(path, inputs if each.inputs or not path else (), output)

    def backward(self, path: str, call: int, gradient: Array) -> None:
        """Reports the gradient of a layer's output."""
        for each in self._recorders:
            each.backward(path, call, gradient)

    def gradient(self, parameter: str, gradient: Array) -> None:
        """Reports the gradient of a parameter."""
        for each in self._recorders:
            each.gradient(parameter, gradient)


class Watching(StepRecorder):
    """Keeps what a trace has of the arrays of each step.

    Attributes:
        steps: What was kept of each step, by its number.

    Args:
        sums: Whether to add up the elements of arrays, too; without, only samples are kept.
    """

    def __init__(self, sums: bool) -> None:
        self.steps: dict[int, Parts] = {}
        self._sums = sums
        self._calls: Counter[str] = Counter()
        self._part: Part | None = None

    def begin(self, step: Step, plan: StepPlan) -> None:
        """Begins a part of a step's batch."""
        self._calls.clear()
        self._part = plan.part
        self._kept = self.steps.setdefault(step.number, Parts(len(step.batch), self._sums))

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        """Keeps the output of a call of a layer, and the input of the model itself."""
        if not path and inputs:
            self._add(key("input", "images"), inputs[0])
        call = self._calls[path]
        self._calls[path] += 1
        self._add(key("forward", call_name(path, call)), output)

    def backward(self, path: str, call: int, gradient: Array) -> None:
        """Keeps the gradient of a layer's output."""
        self._add(key("backward", call_name(path, call)), gradient)

    def gradient(self, parameter: str, gradient: Array) -> None:
        """Keeps the gradient of a parameter."""
        self._kept.add_up(key("gradient", parameter), gradient, self._part)

    def _add(self, name: str, array: NDArray[np.float32]) -> None:
        self._kept.add(name, array, self._part)
