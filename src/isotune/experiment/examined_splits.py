"""Opens the splits of an experiment to examine them, whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isotune.data.divided import check_split_name
from isotune.data.images import open_split
from isotune.data.integrity.findings import ExaminedSplit, Finding, Offender, Severity
from isotune.data.integrity.looks import look
from isotune.data.location import dataset_folder
from isotune.data.sources.folder import check_several_classes
from isotune.data.sources.relabeled import check_known_classes
from isotune.data.sources.subset import Subset
from isotune.data.splitting.divide import divide
from isotune.errors import DatasetError
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.split import SplitSpec

ALL = "all"
"""Stands for the images of a dataset without splits."""


@dataclass(frozen=True)
class ExaminedSplits:
    """The splits of an experiment.

    Attributes:
        splits: The splits, training first, and then validation if it can be opened.
        complete: The same splits with their unreadable images, or all images where the spec
            divides those that can be read.
        findings: Why a run cannot use them.
    """

    splits: tuple[ExaminedSplit, ...]
    complete: tuple[ExaminedSplit, ...]
    findings: list[Finding]


def examine(spec: ExperimentSpec, names: Sequence[str] = ()) -> ExaminedSplits:
    """Opens the splits of an experiment, and looks at all of their images.

    Args:
        spec: The experiment.
        names: Names of splits beside those to train and to validate on.

    Raises:
        DatasetError: The dataset or the training split is missing or damaged, or the spec divides
            the images and makes no such split.
    """
    dataset = spec.dataset
    assert isinstance(dataset, DatasetFormat), "every format that a spec may name derives from it"
    if dataset.split is not None:
        return _examine_divided(spec, dataset, dataset.split, names)
    train = open_split(dataset, dataset.splits.train)
    findings = _single_class(train, dataset.splits.train)
    sources = {dataset.splits.train: train}
    for name in (dataset.splits.val, *names):
        if name not in sources:
            source, complaint = _opened(spec, name, train.classes)
            findings += complaint
            sources |= {name: source} if source is not None else {}
    splits = tuple(_examined(dataset, name, each, spec.workers) for name, each in sources.items())
    return ExaminedSplits(splits, splits, findings)


def _examine_divided(
    spec: ExperimentSpec, dataset: DatasetFormat, split: SplitSpec, wanted: Sequence[str]
) -> ExaminedSplits:
    for name in wanted:
        check_split_name(split, name)
    source = dataset.open_all(dataset_folder(dataset))
    whole = _examined(dataset, ALL, source, spec.workers)
    findings = _single_class(source)
    readable = Subset(source, np.flatnonzero(whole.looks.readable).tolist())
    try:
        parts = divide(readable, split)
    except DatasetError as error:
        findings.append(_misfit(str(error), "error", "change dataset.split, or add images"))
        return ExaminedSplits((whole,), (whole,), findings)
    # What the images look like is cached by now, whichever split they are in.
    names = ("train", *(name for name in parts if name != "train"))
    splits = tuple(_examined(dataset, name, parts[name], spec.workers, ALL) for name in names)
    return ExaminedSplits(splits, (whole,), findings)


def _single_class(train: ImageSource, name: str | None = None) -> list[Finding]:
    try:
        check_several_classes(train, name)
    except DatasetError as error:
        title = "classes, where training needs two at least"
        advice = "add the images of other classes"
        offenders = (Offender(str(error), classes=train.classes),)
        return [Finding("single-class", "error", title, advice, 1, offenders)]
    return []


def _opened(
    spec: ExperimentSpec, name: str, classes: tuple[str, ...]
) -> tuple[ImageSource | None, list[Finding]]:
    """Returns a split, if it can be opened at all, and why a run or an evaluation cannot use it."""
    dataset = spec.dataset
    validates = name == dataset.splits.val
    source = None
    try:
        if validates:
            return open_split(dataset, name, classes), []
        source = open_split(dataset, name)
        check_known_classes(f"the split '{name}'", source.classes, classes)
        return source, []
    except DatasetError as error:
        complaint = str(error)
    if validates:
        try:
            source = open_split(dataset, name)
        except DatasetError as error:
            complaint = str(error)
    advice = "name the splits in dataset.splits, and give them the classes of training"
    return source, [_misfit(complaint, "error" if validates else "warning", advice)]


def _misfit(complaint: str, severity: Severity, advice: str) -> Finding:
    title = "splits that do not fit the training images"
    return Finding("split", severity, title, advice, 1, (Offender(complaint),))


def _examined(
    dataset: DatasetFormat, name: str, source: ImageSource, workers: int | None, part: str = ""
) -> ExaminedSplit:
    """Returns a split with what its images look like, cached with those of another `part`."""
    place = f"{dataset_folder(dataset)}\0{part or name}\0{dataset.max_pixels}"
    return ExaminedSplit(name, source, look(source, place, workers))
