"""Evidence: what is known about a place, as causes look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.certificate import Place
from isotune.equivalence.local import LocalDifferences
from isotune.equivalence.sampling import Values
from isotune.equivalence.trace import Trace, TracedStep, key
from isotune.equivalence.whole import input_key
from isotune.interfaces.tracer import Layer, LayerRun, Setting

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known about a place.

    Attributes:
        place: The place.
        traces: Both sides' traces; with `local`, the recorded one and the live one.
        local: The live side's local differences, if there are any.
    """

    place: Place
    traces: tuple[Trace, Trace]
    local: LocalDifferences | None = None

    @property
    def labels(self) -> tuple[str, str]:
        """How a person tells the sides apart."""
        one, other = (trace.side for trace in self.traces)
        if one.label != other.label:
            return one.label, other.label
        return f"the first side ({one.label})", f"the second side ({other.label})"

    @property
    def steps(self) -> tuple[TracedStep, TracedStep] | None:
        """The step of the place on both sides; None before the first one."""
        if self.place.step is None:
            return None
        found = [
            next((each for each in trace.steps if each.step == self.place.step), None)
            for trace in self.traces
        ]
        one, other = found
        return None if one is None or other is None else (one, other)

    @property
    def layers(self) -> tuple[Layer, Layer] | None:
        """The place's layer on both sides; None without one."""
        found = [
            next((each for each in trace.layers if each.path == self.place.path), None)
            for trace in self.traces
        ]
        one, other = found
        return None if one is None or other is None else (one, other)

    def pair(self, name: str) -> tuple[Values, Values] | None:
        """Returns both sides' values of a key in the place's step, if they have the same shape."""
        if self.steps is None:
            return None
        one, other = (step.values.get(name) for step in self.steps)
        if one is None or other is None or one.shape != other.shape:
            return None
        return one, other

    def setting(self, name: str) -> tuple[Setting | None, Setting | None]:
        """Returns both layers' setting of this name; None where it is not known."""
        if self.layers is None:
            return None, None
        one, other = (layer.settings.get(name) for layer in self.layers)
        return one, other

    @property
    def whole(self) -> Mapping[str, Array]:
        """The recorded side's whole arrays of the place's step; empty without any."""
        return {} if self.steps is None else self.steps[0].whole

    def inputs(self) -> list[Array]:
        """Returns the recorded inputs of the place's call, whole; empty where they are unknown."""
        found: list[Array] = []
        while (at := input_key(self.place.name, len(found))) in self.whole:
            found.append(self.whole[at])
        return found

    def run(self) -> LayerRun | None:
        """Returns what the live side computes of these inputs, if it was kept."""
        if self.local is None or self.local.step != self.place.step:
            return None
        return self.local.runs.get(self.place.name)

    def outputs(self) -> tuple[Array, Array] | None:
        """Returns what both sides' layers make of the recorded inputs, whole, if it is known."""
        recorded, run = self.whole.get(key("forward", self.place.name)), self.run()
        if recorded is None or run is None or recorded.shape != run.output.shape:
            return None
        return recorded, run.output
