"""Finds out in which format a dataset is, and which splits it has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isotune.data.location import dataset_folder
from isotune.data.sources.folder import check_several_classes
from isotune.errors import DatasetError, listed
from isotune.interfaces.dataset import DatasetFormat, ImageSource, NoSplitError
from isotune.spec.dataset import DATASET_FORMATS
from isotune.spec.load import load_spec
from isotune.storage import home
from isotune.storage.paths import exists, expanded, is_dir

TRAIN = ("train", "training")
VALIDATION = ("val", "valid", "validation", "dev")
TEST = ("test", "testing")
"""Usual names of splits, those that are tried first in front."""

MULTI_LABEL = {"targets": "multi_label"}


@dataclass(frozen=True)
class Found:
    """A dataset that was recognized.

    Attributes:
        fields: The spec's ``dataset``, as the user would write it, without ``split``.
        train: The training images, or all images of a dataset that has no splits.
        val: The validation images; None of a dataset that has no splits.
        reasons: What is to be said about each of the fields, by its name.
    """

    fields: dict[str, Any]
    train: ImageSource
    val: ImageSource | None
    reasons: dict[str, str] = field(default_factory=dict)


def recognize(place: str | os.PathLike[str], given: Mapping[str, Any]) -> Found:
    """Opens a dataset of any format.

    Args:
        place: Its folder or file; also the name of one in ``$ISOTUNE_HOME/datasets``.
        given: Fields of the spec's ``dataset`` that the user sets, such as ``format``.

    Raises:
        DatasetError: There is nothing at `place`, it is in no format that is known, or in several.
        SpecError: A field that is given is wrong.
    """
    path, shown = _located(place)
    opened: dict[str, Found] = {}
    refused: dict[str, DatasetError] = {}
    for name, kind in DATASET_FORMATS.items():
        assert issubclass(kind, DatasetFormat), "every format that a spec may name derives from it"
        if given.get("format", name) != name or not ("format" in given or kind.recognizes(path)):
            continue
        try:
            opened[name] = _open(kind, name, shown, given)
        except DatasetError as error:
            refused[name] = error
    if len(opened) > 1:
        raise DatasetError(
            f"{path}: may be in any of the formats {listed(list(opened))}; say which one with"
            f" --set dataset.format={next(iter(opened))}, or name the table or archive itself."
        )
    if opened:
        (found,) = opened.values()
        return found
    raise _unknown(path, refused)


def _located(place: str | os.PathLike[str]) -> tuple[Path, str]:
    """Returns where a dataset is, and how a spec names it.

    A name in ``$ISOTUNE_HOME/datasets`` is kept, so that the spec means the same elsewhere.
    """
    text = os.fspath(place)
    if not text:
        raise DatasetError("the path of the images is empty.")
    path = expanded(text)
    if exists(path):
        return path.resolve(), str(path.resolve())
    if not path.is_absolute() and exists(home.datasets() / path):
        return home.datasets() / path, text
    raise DatasetError(
        f"{text}: there is no such folder or file, nor one of this name in {home.datasets()}."
    )


def _unknown(path: Path, refused: Mapping[str, DatasetError]) -> DatasetError:
    if not refused:
        return DatasetError(
            f"{path}: there are no images that could be recognized. Training takes a folder with a"
            " folder of images for each class, perhaps in folders 'train' and 'val'; a table"
            " (CSV, TSV, JSON lines, Parquet) with a column of paths and one of labels; an"
            " archive; or shards of WebDataset or Parquet."
        )
    if len(refused) == 1:
        (error,) = refused.values()
        return error
    first = f"{path}: could not be read in any of the formats that it may be in:"
    return DatasetError(first, *(f"  {name}: {error}" for name, error in refused.items()))


def _open(kind: type[DatasetFormat], name: str, path: str, given: Mapping[str, Any]) -> Found:
    """Opens a dataset in one format, with one label an image or several."""
    fields = {"format": name, "path": path, **given}
    if "targets" in given or "targets" not in kind.model_fields:
        return _open_splits(kind, fields)
    try:
        found = _open_splits(kind, fields)
    except DatasetError as error:
        several = _several_labels(kind, fields, kind.model_fields["separator"].default)
        if several is None:
            raise error
        return several
    separator = _separator(found.train.classes)
    return (separator and _several_labels(kind, fields, separator)) or found


def _several_labels(
    kind: type[DatasetFormat], fields: Mapping[str, Any], separator: str
) -> Found | None:
    """Returns the dataset with several labels an image, if some images have several."""
    own = {} if separator == kind.model_fields["separator"].default else {"separator": separator}
    try:
        found = _open_splits(kind, {**fields, **MULTI_LABEL, **own})
    except DatasetError:
        return None
    several = int((found.train.labels.sum(axis=1) > 1).sum())
    if not several:
        return None
    found.reasons["targets"] = f"{several:,} of {len(found.train):,} images have several labels"
    return found


def _separator(classes: tuple[str, ...]) -> str | None:
    """Returns what separates labels in names of classes that are labels of several classes.

    That is so if parts of such a name are parts of another, or a name of their own.
    """
    for separator in (";", "|", ","):
        parts = [
            part.strip() for name in classes for part in set(name.split(separator)) if part.strip()
        ]
        if len(parts) > len(classes) and len(set(parts)) < len(parts):
            return separator
    return None


def _open_splits(kind: type[DatasetFormat], fields: dict[str, Any]) -> Found:
    """Opens training and validation images, under the first usual names that there are."""
    spec = _checked(fields)
    if spec.split is not None:
        return _whole(kind, fields)
    folder = dataset_folder(spec)
    named = "splits" in fields
    train_names = (spec.splits.train,) if named else TRAIN
    train, train_name = _first(spec, folder, train_names)
    if train is None:
        return _whole(kind, fields)
    check_several_classes(train, train_name)
    val_names = (spec.splits.val,) if named else (*VALIDATION, *TEST)
    val, val_name = _first(spec, folder, val_names, train.classes)
    if val is None:
        inner = folder / train_name
        if is_dir(folder) and is_dir(inner) and kind.recognizes(inner):
            found = _whole(kind, {**fields, "path": str(inner)})
            found.reasons["path"] = f"{folder} has no images to validate on beside these"
            return found
        raise DatasetError(
            f"{folder}: has images to train on, in its split '{train_name}', but none to validate"
            f" on; the usual names are {listed(val_names)}. --set dataset.splits.val=NAME names"
            " another split."
        )
    found = Found(fields, train, val)
    if (train_name, val_name) != ("train", "val") and not named:
        fields["splits"] = {"train": train_name, "val": val_name}
    if val_name in TEST and not named:
        found.reasons["splits"] = (
            "there are no validation images: the test images choose the best epoch, so that their"
            " accuracy is a little too good for a final figure"
        )
    return found


def _whole(kind: type[DatasetFormat], fields: dict[str, Any]) -> Found:
    spec = _checked(fields)
    source = spec.open_all(dataset_folder(spec))
    check_several_classes(source)
    return Found(fields, source, None)


def _first(
    spec: DatasetFormat,
    folder: Path,
    names: tuple[str, ...],
    classes: tuple[str, ...] | None = None,
) -> tuple[ImageSource | None, str]:
    for name in names:
        try:
            return spec.open(folder, name, classes), name
        except NoSplitError:
            continue
    return None, ""


def _checked(fields: Mapping[str, Any]) -> DatasetFormat:
    """Returns a dataset's part of a spec; its other parts do not matter."""
    others = {"name": "fit", "backbone": "none", "batch_size": 1, "optimizer": "sgd", "epochs": 1}
    dataset = load_spec({**others, "dataset": dict(fields)}).dataset
    assert isinstance(dataset, DatasetFormat), "every format that a spec may name derives from it"
    return dataset
