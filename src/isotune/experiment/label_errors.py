"""Finds label errors with the out-of-fold predictions of a cross-validation."""

from __future__ import annotations

from pathlib import Path

from isotune.data.images import open_labeled
from isotune.errors import RunError
from isotune.experiment.listed_images import listed_split
from isotune.interfaces.dataset import ImageSource
from isotune.reports.label_errors import LabelErrors, find_label_errors
from isotune.reports.numbers import count
from isotune.runs.cross_validation import CrossValidationFolder
from isotune.runs.out_of_fold import OutOfFold
from isotune.spec.dataset import DatasetSpec


def fold_label_errors(path: str | Path) -> LabelErrors:
    """Returns the images whose labels the models of a cross-validation doubt.

    Every image has been predicted by a model that was not trained on it. No backend is needed.

    Args:
        path: The folder of a cross-validation.

    Raises:
        RunError: It is not one, a fold has not ended, or the images have changed since.
        DatasetError: The images are missing or broken.
    """
    folder = CrossValidationFolder(Path(path))
    description = folder.description()
    spec, found = folder.spec(description), folder.predictions()
    dataset = spec.dataset.model_copy(update={"fold": description.fold(1)})
    fold = open_labeled(spec.model_copy(update={"dataset": dataset}), found.classes)
    assert fold.origin is not None, "the spec names a fold"
    images = fold.origin.source
    _check_same(folder.path, images, dataset, found)
    part = count(description.folds, "fold")
    return find_label_errors(images, found.probabilities, name=spec.name, part=part)


def _check_same(path: Path, images: ImageSource, dataset: DatasetSpec, found: OutOfFold) -> None:
    listed = list(listed_split("val", images, dataset))
    names, digests = [image.name for image in listed], [image.digest for image in listed]
    now = list(zip(names, digests, map(str, images.labels.tolist()), strict=True))
    labels = map(str, found.labels.tolist())
    before = list(zip(found.names, found.digests, labels, strict=True))
    if now == before:
        return
    changed = sorted(set(before) - set(now)) or sorted(set(now) - set(before)) or before
    name, *_ = changed[0]
    raise RunError(
        f"{path}: the images, or their labels, are no longer those that were predicted, such as"
        f" '{name}'; cross-validate them again."
    )
