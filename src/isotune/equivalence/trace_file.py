"""A trace's file: safetensors with one JSON document; docs/traces.md specifies it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.json_numbers import plain
from isotune.equivalence.sampling import SAMPLES, Values
from isotune.equivalence.trace import Drift, Predictions, Trace, TracedStep
from isotune.equivalence.trace_document import (
    FORMAT,
    DriftPart,
    LayerPart,
    PredictionsPart,
    SidePart,
    StepPart,
    TraceDocument,
    ValuesPart,
)
from isotune.errors import RunError
from isotune.printable import printable
from isotune.runs.read import checked, damaged, parse_json, unusable
from isotune.storage.atomic import atomic_file
from isotune.storage.paths import is_dir, is_link
from isotune.storage.tensor_file import Entry, mapped, read_array, read_header, write_tensors
from isotune.storage.untrusted import open_regular, refuse_link

DOCUMENT, DIGEST = "isotune.trace", "isotune.trace.sha256"
"""Keys of the file's metadata: the document, and its SHA-256."""

LARGEST_IN_MEMORY = 1 << 30
"""Bytes that all arrays except whole ones may have."""

LABELS = "predictions/labels"

Arrays = dict[str, NDArray[Any]]


def check_target(path: Path) -> None:
    """Checks, before anything costly is recorded for it, that a trace can be written to a file.

    Raises:
        RunError: The path is a link or a folder, or its folder is missing or may not be written to.
    """
    reason = None
    if is_link(path):
        reason = "it is a link, and links are not followed"
    elif is_dir(path):
        reason = "it is a folder; name a file"
    elif not is_dir(path.absolute().parent):
        reason = "its folder does not exist"
    elif not os.access(path.absolute().parent, os.W_OK):
        reason = "its folder may not be written to"
    if reason is not None:
        raise RunError(f"{path}: the trace cannot be written: {reason}.")


def write_trace(path: str | Path, trace: Trace) -> None:
    """Writes a trace atomically, replacing an existing file.

    Args:
        path: The file, whose folder must exist.
        trace: The trace. A whole array that occurs under several keys is written once.

    Raises:
        RunError: The file cannot be written, or is a link.
    """
    path = Path(path)
    arrays, whole, names = _arrays(trace), *_whole(trace)
    steps = [StepPart.of(*each) for each in zip(trace.steps, names, strict=True)]
    document = TraceDocument(
        isotune=version("isotune"),
        side=_side(trace),
        experiment=dict(trace.experiment),
        classes=list(trace.classes),
        start=dict(trace.start),
        layers=[LayerPart.of(layer) for layer in trace.layers],
        steps=steps,
        drift=DriftPart.of(trace.drift),
        predictions=PredictionsPart.of(trace.predictions),
        sha256=_digest(arrays),
    )
    text = json.dumps(plain(document.model_dump()), allow_nan=False, separators=(",", ":"))
    metadata = {DOCUMENT: text, DIGEST: hashlib.sha256(text.encode()).hexdigest()}
    try:
        refuse_link(path)
        with atomic_file(path) as file:
            write_tensors(file, arrays | whole, metadata)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(f"{path}: the trace cannot be written: {reason}.") from error


def read_trace(path: str | Path) -> Trace:
    """Reads a trace, which a stranger may have made; whole arrays are mapped into memory.

    Raises:
        RunError: The file is missing, a link, damaged, no trace, or of a later version. The message
            says where.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            return _read(file, path)
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such trace.") from None
    except OSError as error:
        raise unusable(path, error) from error
    except ValueError as error:
        raise RunError(f"{path}: {error}.") from error
    except MemoryError:
        raise RunError(f"{path}: needs more memory than there is.") from None


def _read(file: BinaryIO, path: Path) -> Trace:
    metadata, entries = read_header(file)
    document = _document(metadata, path)
    in_memory = {name: entry for name, entry in entries.items() if not name.startswith("whole/")}
    size = sum(entry.size for entry in in_memory.values())
    if size > LARGEST_IN_MEMORY:
        raise ValueError(f"has samples of {size:,} bytes, more than {LARGEST_IN_MEMORY:,}")
    arrays = {name: read_array(file, entry) for name, entry in in_memory.items()}
    if _digest(arrays) != document.sha256:
        raise damaged(path, "the SHA-256 of its arrays is not the one it was written with")
    return Trace(
        side=document.side.side(),
        experiment=document.experiment,
        classes=tuple(document.classes),
        start=document.start,
        layers=tuple(layer.layer() for layer in document.layers),
        steps=tuple(_step(step, arrays, _mapped(step, file, entries)) for step in document.steps),
        drift=_drift(document.drift, arrays),
        predictions=_predictions(document, arrays),
    )


def _document(metadata: Mapping[str, str], path: Path) -> TraceDocument:
    text = metadata.get(DOCUMENT)
    if text is None:
        raise RunError(
            f"{path}: is no trace: its metadata has no {DOCUMENT};"
            " `isotune certify SPEC --on SIDE --record FILE` writes a trace."
        )
    data = text.encode(errors="surrogatepass")
    if metadata.get(DIGEST) != hashlib.sha256(data).hexdigest():
        raise damaged(path, f"the SHA-256 of {DOCUMENT} is not the one it was written with")
    found = parse_json(data, path)
    if isinstance(found, dict) and found.get("format", FORMAT) != FORMAT:
        number = str(found["format"])[:40]
        raise RunError(f"{path}: has format {number}; this Isotune reads format {FORMAT}.")
    return checked(TraceDocument, found, path)


def _arrays(trace: Trace) -> Arrays:
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


def _whole(trace: Trace) -> tuple[Arrays, list[dict[str, str]]]:
    """Returns whole arrays by their names in the file, and for each step those names by key."""
    arrays: Arrays = {}
    known: dict[tuple[Any, ...], str] = {}
    steps = []
    for step in trace.steps:
        names = {}
        for key, array in step.whole.items():
            same = (array.__array_interface__["data"][0], array.shape, array.strides)
            names[key] = known.setdefault(same, f"whole/{step.step}/{key}")
            arrays.setdefault(names[key], array)
        steps.append(names)
    return arrays, steps


def _side(trace: Trace) -> SidePart:
    """Returns who has computed a trace; what the system says of itself is made printable."""
    side = {**vars(trace.side), "device": printable(trace.side.device)}
    for field in ("versions", "machine"):
        side[field] = {printable(k): printable(v) for k, v in side[field].items()}
    return SidePart.model_validate(side)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for _, array in sorted(arrays.items(), key=itemgetter(0)):
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _mapped(
    step: StepPart, file: BinaryIO, entries: Mapping[str, Entry]
) -> dict[str, NDArray[np.float32]]:
    """Maps the whole arrays of a step, each once."""
    arrays = {}
    for name in dict.fromkeys(step.whole.values()):
        entry = entries.get(name)
        if entry is None or not name.startswith("whole/") or entry.dtype.kind != "f":
            raise ValueError(f"is damaged: it has no float32 array '{name}'")
        arrays[name] = mapped(file, entry)
    return {key: arrays[name] for key, name in step.whole.items()}


def _step(part: StepPart, arrays: Arrays, whole: Mapping[str, NDArray[np.float32]]) -> TracedStep:
    return TracedStep(
        step=part.step,
        batch=part.batch,
        learning_rate=part.learning_rate,
        loss=part.loss,
        watched=part.watched,
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


def _drift(part: DriftPart | None, arrays: Arrays) -> Drift | None:
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


def _predictions(document: TraceDocument, arrays: Arrays) -> Predictions | None:
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
