"""Evidence made by hand: what two sides compute of one layer, or of one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes import likely_cause
from isotune.equivalence.certificates.certificate import Place, PlaceStage
from isotune.equivalence.local.differences import LocalDifferences
from isotune.equivalence.local.whole import input_key
from isotune.equivalence.traces.sampling import values_of
from isotune.equivalence.traces.trace import Trace, key
from isotune.interfaces.tracer import Layer, LayerRun
from made_traces import made_step, made_trace

Arrays = Mapping[str, NDArray[Any]]

SIDES = "torch", "mindspore"


def rounding(array: NDArray[Any], seed: int) -> NDArray[np.float32]:
    """Returns an array in float32, as far from it as sums in another order are."""
    noise = np.random.default_rng(seed).normal(size=array.shape) * 1e-7
    return np.asarray(array * (1 + noise), np.float32)


def of_layer(
    kind: str,
    one: NDArray[Any],
    other: NDArray[Any],
    *,
    inputs: Sequence[NDArray[Any]] = (),
    state: Arrays | None = None,
    settings: Mapping[str, Any] | None = None,
    settings_of_other: Mapping[str, Any] | None = None,
    leaf: bool = True,
    path: str = "layer",
    whole: Arrays | None = None,
    values: Sequence[Arrays] = ({}, {}),
) -> str | None:
    """Returns the likely cause of two outputs of a layer at `path`.

    With `inputs`, the arrays are known as a whole; without, there are samples alone.
    """
    outputs = [rounding(each, seed) for seed, each in enumerate((one, other))]
    name = key("forward", path)
    known: dict[str, NDArray[np.float32]] = {}
    if inputs:
        known = {input_key(path, n): np.asarray(x, np.float32) for n, x in enumerate(inputs)}
        known |= {at: np.asarray(x, np.float32) for at, x in (whole or {}).items()}
        known[name] = outputs[0]
    usual = settings or {}
    layers = [Layer(path, kind, each, leaf) for each in (usual, settings_of_other or usual)]
    steps = [
        made_step(values={at: values_of(at, rounding(x, 2)) for at, x in others.items()})
        for others in ({name: outputs[0], **values[0]}, {name: outputs[1], **values[1]})
    ]
    steps[0] = made_step(values=steps[0].values, whole=known)
    traces = [
        made_trace(step, backend=side, layers=(layer,))
        for step, side, layer in zip(steps, SIDES, layers, strict=True)
    ]
    local = None
    if inputs:
        kept = {at: np.asarray(x, np.float32) for at, x in (state or {}).items()}
        local = LocalDifferences(0, {}, runs={path: LayerRun(outputs[1])}, state=kept)
    place = Place("forward", path, 0, path=path, kind=kind)
    return likely_cause(place, traces[0], traces[1], local)


def of_step(
    stage: PlaceStage, name: str, values: tuple[Arrays, Arrays], **changes: Any
) -> str | None:
    """Returns the likely cause of a value of the first step; `changes` are of both traces."""
    path = changes.pop("path", None)
    steps = [
        made_step(values={at: values_of(at, np.asarray(x, np.float32)) for at, x in each.items()})
        for each in values
    ]
    return of_traces(
        Place(stage, name, 0, path=path),
        *(
            made_trace(step, backend=side, **changes)
            for step, side in zip(steps, SIDES, strict=True)
        ),
    )


def of_traces(place: Place, one: Trace, other: Trace) -> str | None:
    """Returns the likely cause of a place without local differences."""
    return likely_cause(place, one, other)
