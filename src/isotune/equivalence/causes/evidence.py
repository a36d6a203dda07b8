"""Evidence: what is known about a place, as causes look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import apart
from isotune.equivalence.certificates.certificate import Place
from isotune.equivalence.certificates.wording import side_names
from isotune.equivalence.local.differences import LocalDifferences
from isotune.equivalence.local.runs import input_gradient_key, parameter_gradient_key
from isotune.equivalence.local.whole import input_key
from isotune.equivalence.traces.sampling import Values, positions
from isotune.equivalence.traces.trace import Trace, TracedStep, key
from isotune.interfaces.tracer import Layer, LayerRun, Setting

Array = NDArray[np.float32]

MOST = 1 << 16
"""Largest number of elements of a whole output that causes look at."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Elements of an array of both sides.

    Attributes:
        shape: The array's shape.
        positions: int64, which elements they are, in C order.
        one: float64, the first side's elements.
        other: float64, the other side's.
    """

    shape: tuple[int, ...]
    positions: NDArray[np.int64]
    one: NDArray[np.float64]
    other: NDArray[np.float64]

    @property
    def between(self) -> float:
        """The relative difference between the sides."""
        return apart(self.one, self.other)

    @property
    def complete(self) -> bool:
        """Whether these are all elements."""
        return len(self.positions) == int(np.prod(self.shape))

    def part(self, chosen: NDArray[Any]) -> Pair:
        """Returns some of the elements."""
        return Pair(self.shape, self.positions[chosen], self.one[chosen], self.other[chosen])


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
    def key(self) -> str:
        """The key of the place's value, if its stage has values."""
        return f"{self.place.stage}/{self.place.name}"

    @property
    def labels(self) -> tuple[str, str]:
        """How a person tells the sides apart."""
        return side_names((self.traces[0].side, self.traces[1].side))

    @property
    def steps(self) -> tuple[TracedStep, TracedStep] | None:
        """The step of the place on both sides; None before the first one."""
        if self.place.step is None:
            return None
        one, other = (
            next((each for each in trace.steps if each.step == self.place.step), None)
            for trace in self.traces
        )
        return None if one is None or other is None else (one, other)

    @property
    def layers(self) -> tuple[Layer, Layer] | None:
        """The place's layer on both sides; None without one."""
        one, other = (
            next((each for each in trace.layers if each.path == self.place.path), None)
            for trace in self.traces
        )
        return None if one is None or other is None else (one, other)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The layer's class on either side; empty without one."""
        return () if self.layers is None else tuple(layer.kind for layer in self.layers)

    def setting(self, name: str) -> Setting | None:
        """Returns the layer's setting of this name, of the first side that knows it."""
        known = (layer.settings.get(name) for layer in self.layers or ())
        return next((value for value in known if value is not None), None)

    def values(self, name: str) -> tuple[Values, Values] | None:
        """Returns both sides' values of a key in the place's step."""
        if self.steps is None:
            return None
        one, other = (step.values.get(name) for step in self.steps)
        return None if one is None or other is None else (one, other)

    def pair(self, name: str) -> Pair | None:
        """Returns the samples of a key in the place's step; None where the shapes differ."""
        values = self.values(name)
        if values is None or values[0].shape != values[1].shape or not values[0].samples.size:
            return None
        one, other = (each.samples.astype(np.float64) for each in values)
        return Pair(values[0].shape, positions(name, values[0].shape), one, other)

    def found(self) -> Pair | None:
        """Returns what differs: what both layers make of the same inputs, or else the samples."""
        if self.place.stage in ("backward", "gradient"):
            return self._gradient() or self.pair(self.key)
        whole = self.outputs()
        if whole is None:
            return self.pair(self.key)
        size = whole[0].size
        if not size:
            return None
        chosen = np.arange(0, size, -(-size // MOST), dtype=np.int64)
        one, other = (each.reshape(-1)[chosen].astype(np.float64) for each in whole)
        return Pair(whole[0].shape, chosen, one, other)

    def _gradient(self) -> Pair | None:
        """Returns the gradient of what both layers make of the same inputs that is off most."""
        run = self.run()
        if run is None or self.steps is None:
            return None
        if self.place.stage == "gradient":
            name = self.place.name
            arrays = {parameter_gradient_key(self.call, name): run.parameters.get(name)}
        else:
            arrays = {input_gradient_key(self.call, n): each for n, each in enumerate(run.inputs)}
        found = []
        for at, array in arrays.items():
            recorded = self.steps[0].runs.get(at)
            if array is not None and recorded is not None and recorded.shape == array.shape:
                places = positions(at, array.shape)
                live = array.reshape(-1)[places].astype(np.float64)
                found.append(Pair(array.shape, places, recorded.samples.astype(np.float64), live))
        return max(found, key=lambda pair: pair.between, default=None)

    @property
    def call(self) -> str:
        """The name of the layer's call: for a parameter, its layer's first one."""
        if self.place.stage in ("forward", "backward"):
            return self.place.name
        return self.place.path or ""

    @property
    def whole(self) -> Mapping[str, Array]:
        """The recorded side's whole arrays of the place's step; empty without any."""
        return {} if self.steps is None else self.steps[0].whole

    def inputs(self) -> list[Array]:
        """Returns the recorded inputs of the place's call, whole; empty where they are unknown."""
        found: list[Array] = []
        while (at := input_key(self.call, len(found))) in self.whole:
            found.append(self.whole[at])
        return found

    def run(self) -> LayerRun | None:
        """Returns what the live side computes of these inputs, if it was kept."""
        if self.local is None or self.local.step != self.place.step:
            return None
        return self.local.runs.get(self.call)

    def outputs(self) -> tuple[Array, Array] | None:
        """Returns both sides' outputs of the recorded inputs, whole; None unless they are known."""
        recorded, run = self.whole.get(key("forward", self.call)), self.run()
        if (
            self.place.stage != "forward"
            or recorded is None
            or run is None
            or recorded.shape != run.output.shape
        ):
            return None
        return recorded, run.output

    def parameter(self, name: str) -> Array | None:
        """Returns the layer's tensor of this name from before the step, if it was kept."""
        return None if self.local is None else self.local.state.get(f"{self.place.path}.{name}")
