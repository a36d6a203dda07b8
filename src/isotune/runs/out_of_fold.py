"""``predictions/fold-1.safetensors`` and so on: out-of-fold predictions of a cross-validation.

The folder of a cross-validation has a file for each fold that has ended, with what the best model
of the fold predicts for the images that it was not trained on. Its tensors, for the N images:

::

    positions      int64, (N,)            among the images of all folds, in the dataset's order
    labels         int32, (N,)            or float32, (N, classes), as in ImageSource
    predicted      the same               as in Evaluation
    probabilities  float32, (N, classes)
    text           uint8                  JSON: see below

The JSON has the keys ``format``; ``classes``, their names; ``metrics``, values by name, null where
undefined; and ``images``, the name and the digest of each, as in images.jsonl. The metadata of the
format are not used, since the library writes them in an order that changes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from isotune.errors import RunError
from isotune.interfaces.dataset import Labels
from isotune.runs.read import damaged, read_bytes, unusable
from isotune.storage.atomic import is_draft_of, write_atomically
from isotune.storage.untrusted import refuse_link

FOLDER = "predictions"
FORMAT = "isotune-out-of-fold-1"

_DRAFT = re.compile(r"\.(fold-[0-9]+\.safetensors)\.[0-9]+\.[0-9a-f]+")
"""Temporary name of a file."""

LARGEST = 1 << 34
"""Largest size of a file in bytes."""


@dataclass(frozen=True)
class FoldPredictions:
    """What the model of one fold predicts for the images that it was not trained on.

    Attributes:
        classes: Class names, in label order.
        positions: Places of the N images among those of all folds: int64, shape (N,).
        names: Names of the images in the dataset, the same wherever it lies.
        digests: Digests of their contents, as hexadecimal digits, empty if there are none.
        labels: int32, shape (N,); or float32, shape (N, classes), as in :class:`ImageSource`.
        predicted: Predicted labels, as `labels`.
        probabilities: float32, shape (N, classes), in [0, 1].
        metrics: Values by the names of :data:`isotune.metrics.METRICS`; NaN where undefined.
    """

    classes: tuple[str, ...]
    positions: NDArray[np.int64]
    names: Sequence[str]
    digests: Sequence[str]
    labels: Labels
    predicted: Labels
    probabilities: NDArray[np.float32]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of all images of a cross-validation, in the dataset's order.

    Attributes:
        classes: Class names, in label order.
        names: Names of the N images in the dataset, the same wherever it lies.
        digests: Digests of their contents, as hexadecimal digits, empty if there are none.
        folds: The fold whose model predicts each image, from 1: int32, shape (N,).
        labels: int32, shape (N,); or float32, shape (N, classes), as in :class:`ImageSource`.
        predicted: Predicted labels, as `labels`.
        probabilities: float32, shape (N, classes), in [0, 1].
        metrics: Metrics of each fold, from the first, by the names of
            :data:`isotune.metrics.METRICS`; NaN where undefined.
    """

    classes: tuple[str, ...]
    names: Sequence[str]
    digests: Sequence[str]
    folds: NDArray[np.int32]
    labels: Labels
    predicted: Labels
    probabilities: NDArray[np.float32]
    metrics: Sequence[Mapping[str, float]]


def predictions_path(folder: Path, number: int) -> Path:
    """Returns the file of a fold's predictions in the folder of a cross-validation.

    Raises:
        RunError: The folder that it is in is a link.
    """
    try:
        refuse_link(folder / FOLDER)
    except OSError as error:
        raise unusable(folder / FOLDER, error) from error
    return folder / FOLDER / f"fold-{number}.safetensors"


def write_predictions(folder: Path, number: int, predictions: FoldPredictions) -> None:
    """Writes the predictions of a fold, from 1, into the folder of a cross-validation.

    Raises:
        RunError: They cannot be written.
    """
    from safetensors.numpy import save

    path = predictions_path(folder, number)
    text = {
        "format": FORMAT,
        "classes": predictions.classes,
        "metrics": {
            name: value if math.isfinite(value) else None
            for name, value in predictions.metrics.items()
        },
        "images": list(zip(predictions.names, predictions.digests, strict=True)),
    }
    tensors = {
        "positions": predictions.positions,
        "labels": predictions.labels,
        "predicted": predictions.predicted,
        "probabilities": predictions.probabilities,
        "text": np.frombuffer(json.dumps(text).encode(), np.uint8),
    }
    try:
        path.parent.mkdir(exist_ok=True)
        contiguous = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        write_atomically(path, save(contiguous))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}.") from error


def read_out_of_fold(folder: Path, folds: int) -> OutOfFold:
    """Reads the predictions of all images of a cross-validation.

    Args:
        folder: The cross-validation's folder.
        folds: Number of folds.

    Raises:
        RunError: A fold has no predictions yet, or a file is damaged.
    """
    parts = [read_predictions(folder, number) for number in range(1, folds + 1)]
    first = parts[0]
    for number, part in enumerate(parts, 1):
        if part.classes != first.classes or part.labels.ndim != first.labels.ndim:
            raise damaged(predictions_path(folder, number), "its classes are not those of fold 1")
    positions = np.concatenate([part.positions for part in parts])
    order = np.argsort(positions, kind="stable")
    if not np.array_equal(positions[order], np.arange(len(order))):
        raise damaged(folder / FOLDER, "its files do not hold every image once")
    names = [name for part in parts for name in part.names]
    digests = [digest for part in parts for digest in part.digests]
    sizes = [len(part.positions) for part in parts]
    return OutOfFold(
        classes=first.classes,
        names=[names[index] for index in order.tolist()],
        digests=[digests[index] for index in order.tolist()],
        folds=np.repeat(np.arange(1, folds + 1, dtype=np.int32), sizes)[order],
        labels=np.concatenate([part.labels for part in parts])[order],
        predicted=np.concatenate([part.predicted for part in parts])[order],
        probabilities=np.concatenate([part.probabilities for part in parts])[order],
        metrics=[part.metrics for part in parts],
    )


def read_predictions(folder: Path, number: int) -> FoldPredictions:
    """Reads the predictions of a fold, from 1, of a cross-validation.

    Raises:
        RunError: The fold has none yet, or the file is damaged.
    """
    path = predictions_path(folder, number)
    if not path.exists():
        raise RunError(f"{folder}: fold {number} has not ended; isotune resume {folder} goes on.")
    data = read_bytes(path, LARGEST)
    try:
        return _parsed(data)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, str(error)) from error


def remove_temporaries(folder: Path) -> None:
    """Removes predictions that killed processes were writing.

    Only the process that has claimed the cross-validation may call it.

    Raises:
        RunError: The folder that they are in is a link.
        OSError: They cannot be removed.
    """
    inside = predictions_path(folder, 1).parent
    for entry in list(inside.iterdir()) if inside.is_dir() else []:
        if (draft := _DRAFT.fullmatch(entry.name)) and is_draft_of(entry.name, draft[1]):
            entry.unlink(missing_ok=True)


class _Text(BaseModel):
    model_config = ConfigDict(strict=True)

    format: Literal["isotune-out-of-fold-1"]
    classes: list[str] = Field(min_length=1)
    metrics: dict[str, float | None]
    images: list[Annotated[list[str], Field(min_length=2, max_length=2)]]


def _parsed(data: bytes) -> FoldPredictions:
    """Returns the content of a file.

    Raises:
        ValueError: It is damaged, as are the other errors.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        # Not by pydantic, which refuses what os.fsdecode makes of names that are not text.
        text = _Text.model_validate(json.loads(tensors["text"].tobytes()))
    except SafetensorError as error:
        raise ValueError(f"it does not hold tensors: {error}") from error
    except ValidationError as error:
        raise ValueError("its version, classes, metrics or names are wrong") from error
    result = FoldPredictions(
        classes=tuple(text.classes),
        positions=tensors["positions"],
        names=[name for name, _ in text.images],
        digests=[digest for _, digest in text.images],
        labels=tensors["labels"],
        predicted=tensors["predicted"],
        probabilities=tensors["probabilities"],
        metrics={k: math.nan if v is None else v for k, v in text.metrics.items()},
    )
    _check_arrays(result)
    return result


def _check_arrays(part: FoldPredictions) -> None:
    count, classes = len(part.names), len(part.classes)
    several = part.labels.ndim == 2
    label_type = (np.float32, (count, classes)) if several else (np.int32, (count,))
    expected: dict[str, tuple[Any, tuple[int, ...]]] = {
        "positions": (np.int64, (count,)),
        "labels": label_type,
        "predicted": label_type,
        "probabilities": (np.float32, (count, classes)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(part, name)
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"'{name}' has the type {array.dtype} or the shape {array.shape}")
    top = 1 if several else classes - 1
    if any(((each < 0) | (each > top)).any() for each in (part.labels, part.predicted)):
        raise ValueError("a label is no class")
    if not ((part.probabilities >= 0) & (part.probabilities <= 1)).all():
        raise ValueError("a probability is not in [0, 1]")
