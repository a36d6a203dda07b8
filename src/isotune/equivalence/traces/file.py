"""A trace's file: safetensors with one JSON document; docs/traces.md specifies it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from isotune.equivalence.traces.arrays import (
    WHOLE,
    Arrays,
    arrays_of,
    drift_of,
    predictions_of,
    step_of,
    whole_arrays,
    whole_of,
)
from isotune.equivalence.traces.document import (
    FORMAT,
    DriftPart,
    LayerPart,
    PredictionsPart,
    SidePart,
    StepPart,
    TraceDocument,
)
from isotune.equivalence.traces.json_numbers import plain
from isotune.equivalence.traces.trace import Trace
from isotune.errors import RunError, SpecError
from isotune.printable import printable
from isotune.runs.read import checked, damaged, parse_json, unusable
from isotune.spec.document import Document
from isotune.spec.version import current
from isotune.storage.atomic import atomic_file
from isotune.storage.paths import is_dir, is_link
from isotune.storage.tensor_file import read_array, read_header, write_tensors
from isotune.storage.untrusted import open_regular, refuse_link

DOCUMENT, DIGEST = "isotune.trace", "isotune.trace.sha256"
"""Keys of the file's metadata: the document, and its SHA-256."""

LARGEST_IN_MEMORY = 1 << 30
"""Bytes that all arrays except whole ones may have."""


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
    arrays, whole, names = arrays_of(trace), *whole_of(trace)
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
    in_memory = {name: entry for name, entry in entries.items() if not name.startswith(WHOLE)}
    size = sum(entry.size for entry in in_memory.values())
    if size > LARGEST_IN_MEMORY:
        raise ValueError(f"has samples of {size:,} bytes, more than {LARGEST_IN_MEMORY:,}")
    arrays = {name: read_array(file, entry) for name, entry in in_memory.items()}
    if _digest(arrays) != document.sha256:
        raise damaged(path, "the SHA-256 of its arrays is not the one it was written with")
    return Trace(
        side=document.side.side(),
        experiment=_experiment(document, path),
        classes=tuple(document.classes),
        start=document.start,
        layers=tuple(layer.layer() for layer in document.layers),
        steps=tuple(
            step_of(step, arrays, whole_arrays(step, file, entries)) for step in document.steps
        ),
        drift=drift_of(document.drift, arrays),
        predictions=predictions_of(document, arrays),
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


def _experiment(document: TraceDocument, path: Path) -> dict[str, Any]:
    try:
        spec = current(Document(document.experiment, f"{path}: its experiment"))
    except SpecError as error:
        raise RunError(*error.args) from error
    experiment: dict[str, Any] = spec.data
    return experiment


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
