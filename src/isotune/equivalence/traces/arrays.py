"""The arrays of a trace by their names in its file, and the parts of a trace made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.traces.document import (
    DriftPart,
    StepPart,
    TraceDocument,
    ValuesPart,
)
from isotune.equivalence.traces.sampling import SAMPLES, Values
from isotune.equivalence.traces.trace import Drift, Predictions, Trace, TracedStep
from isotune.storage.tensor_file import Entry, mapped

LABELS = "predictions/labels"

WHOLE = "whole/"
"""Under this, whole arrays are."""

Arrays = dict[str, NDArray[Any]]


def arrays_of(trace: Trace) -> Arrays:
    """Returns all arrays of a trace except whole ones, by their names in the file."""
    arrays: Arrays = {}
    for step in trace.steps:
        for key, values in step.values.items():
            arrays[f"samples/{step.step}/{key}"] = values.samples
        for key, values in step.runs.items():
            arrays[f"runs/{step.step}/{key}"] = values.samples
    if trace.drift is not None:
        for change, losses in trace.drift.losses.items():
            arrays[f"drift/losses/{change}"] = losses
            arrays[f"drift/parameters/{change}"] = trace.drift.parameters[change]
    if trace.predictions is not None:
        arrays[LABELS] = trace.predictions.labels
        for change, logits in trace.predictions.logits.items():
            arrays[f"predictions/logits/{change}"] = logits
    return arrays


def whole_of(trace: Trace) -> tuple[Arrays, list[dict[str, str]]]:
    """Returns whole arrays by their names in the file, and for each step those names by key."""
    arrays: Arrays = {}
    known: dict[tuple[Any, ...], str] = {}
    steps = []
    for step in trace.steps:
        names = {}
        for key, array in step.whole.items():
            same = (array.__array_interface__["data"][0], array.shape, array.strides)
            names[key] = known.setdefault(same, f"{WHOLE}{step.step}/{key}")
            arrays.setdefault(names[key], array)
        steps.append(names)
    return arrays, steps


def whole_arrays(
    step: StepPart, file: BinaryIO, entries: Mapping[str, Entry]
) -> dict[str, NDArray[np.float32]]:
    """Maps the whole arrays of a step into memory, each once.

    Args:
        step: What the document says of the step.
        file: The open file.
        entries: The file's arrays by name.

    Raises:
        ValueError: One is missing, or of another type.
    """
    arrays = {}
    for name in dict.fromkeys(step.whole.values()):
        entry = entries.get(name)
        if entry is None or not name.startswith(WHOLE) or entry.dtype.kind != "f":
            raise ValueError(f"is damaged: it has no float32 array '{name}'")
        arrays[name] = mapped(file, entry)
    return {key: arrays[name] for key, name in step.whole.items()}


def step_of(part: StepPart, arrays: Arrays, whole: Mapping[str, NDArray[np.float32]]) -> TracedStep:
    """Returns a step of a file's document, with its arrays.

    Raises:
        ValueError: An array is missing, or has another type or shape; so the next two.
    """
    return TracedStep(
        step=part.step,
        batch=part.batch,
        learning_rate=part.learning_rate,
        loss=part.loss,
        watched=part.watched,
        same_logits=part.same_logits,
        values=_values(part.values, arrays, f"samples/{part.step}"),
        yardsticks=part.yardsticks,
        whole=whole,
        runs=_values(part.runs, arrays, f"runs/{part.step}"),
        run_yardsticks=part.run_yardsticks,
    )


def _values(parts: list[ValuesPart], arrays: Arrays, under: str) -> dict[str, Values]:
    return {
        each.key: each.values(
            _array(arrays, f"{under}/{each.key}", (min(math.prod(each.shape), SAMPLES),))
        )
        for each in parts
    }


def drift_of(part: DriftPart | None, arrays: Arrays) -> Drift | None:
    """Returns the drift of a file's document, with its arrays; None without one."""
    if part is None:
        return None
    steps = len(_array(arrays, f"drift/losses/{part.changes[0]}", (None,)))
    samples = _array(arrays, f"drift/parameters/{part.changes[0]}", (steps, None)).shape[1]
    if samples > SAMPLES:
        raise ValueError(f"is damaged: its drift has {samples:,} samples, more than {SAMPLES}")
    return Drift(
        {each: _array(arrays, f"drift/losses/{each}", (steps,)) for each in part.changes},
        {
            each: _array(arrays, f"drift/parameters/{each}", (steps, samples))
            for each in part.changes
        },
    )


def predictions_of(document: TraceDocument, arrays: Arrays) -> Predictions | None:
    """Returns the predictions of a file's document, with their arrays; None without any."""
    part, classes = document.predictions, len(document.classes)
    if part is None:
        return None
    labels = arrays.get(LABELS)
    kind = None if labels is None else (labels.dtype.kind, *labels.shape[1:])
    if labels is None or not labels.shape or kind not in (("i",), ("f", classes)):
        raise ValueError(f"is damaged: it has no array '{LABELS}' of as many images")
    found = {
        each: _array(arrays, f"predictions/logits/{each}", (len(labels), None))
        for each in part.changes
    }
    outputs = {logits.shape[1] for logits in found.values()}
    if outputs not in ({classes}, {1}):
        raise ValueError(f"is damaged: its logits are not of {classes:,} classes")
    return Predictions(part.images, labels, found)


def _array(arrays: Arrays, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """Returns an array of a file; None stands for any size.

    Raises:
        ValueError: It is missing, or has another type or shape.
    """
    found = arrays.get(name)
    if found is None:
        raise ValueError(f"is damaged: it has no array '{name}'")
    fits = len(found.shape) == len(shape) and all(
        size in (None, other) for size, other in zip(shape, found.shape, strict=True)
    )
    if found.dtype.kind != "f" or not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"is damaged: '{name}' should be float32 of shape ({wanted})")
    return found
