"""The images of an experiment: opens and checks its splits, and makes batches of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isotune.data.batches import Batches
from isotune.data.caches.open import PixelCaches, open_stores
from isotune.data.divided import Recorded, check_split_name, open_divided
from isotune.data.duplicates import check_duplicates
from isotune.data.experiment_batches import evaluation_batches, training_batches
from isotune.data.folds import open_fold
from isotune.data.integrity.background import BackgroundCheck
from isotune.data.integrity.check import BrokenImage, clean
from isotune.data.integrity.when import checked_during_training, refuse_during_training
from isotune.data.location import dataset_folder
from isotune.data.sources.folder import check_several_classes
from isotune.data.sources.relabeled import check_known_classes, labeled_with
from isotune.errors import DatasetError
from isotune.interfaces.communicator import ALONE, Place
from isotune.interfaces.dataset import DatasetFormat, ImageSource, class_counts
from isotune.spec.dataset import DatasetSpec
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.fold import FoldSpec
from isotune.spec.split import SplitSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """The training and validation images.

    Attributes:
        skipped: Number of unreadable images that were skipped, by split; ``all`` stands for those
            that were skipped before the images were divided.
        caches: Pixel caches between epochs; valid for one spec only.
        test: The test images, where the spec divides the images and keeps some for a test.
        check: Checks the images during training; None where they have been checked before. Then
            the splits contain their broken images.
        place: Which of the processes this one is that train on them.
    """

    train: ImageSource
    val: ImageSource
    skipped: dict[str, int]
    caches: PixelCaches = field(default_factory=PixelCaches)
    test: ImageSource | None = None
    check: BackgroundCheck | None = None
    place: Place = ALONE

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""
        return self.train.classes

    @property
    def splits(self) -> dict[str, ImageSource]:
        """The images of each split: ``train``, ``val`` and, if there are some, ``test``."""
        splits = {"train": self.train, "val": self.val}
        return splits if self.test is None else {**splits, "test": self.test}

    def counts(self) -> dict[str, tuple[int, ...]]:
        """Returns the number of images of each class, in label order, by split."""
        size = len(self.classes)
        return {
            name: tuple(class_counts(source.labels, size).tolist())
            for name, source in self.splits.items()
        }

    def training_batches(self, spec: ExperimentSpec) -> Batches:
        """Returns the batches of a training epoch, for a resolved spec."""
        skip = self.check.skip("train") if self.check else None
        return training_batches(self.train, spec, self.caches.train, skip, self._sharing)

    def validation_batches(self, spec: ExperimentSpec, size: int) -> Batches:
        """Returns the batches of a validation, at most `size` images each, for a resolved spec."""
        skip = self.check.skip("val") if self.check else None
        return evaluation_batches(self.val, spec, size, self.caches.val, skip, self._sharing)

    @property
    def _sharing(self) -> int:
        """Number of processes that share the machine's CPUs."""
        return self.place.local_processes

    def sizes(self) -> dict[str, int]:
        """Returns the number of images by split, without those that were skipped."""
        found = self.check.skipped if self.check else {}
        return {split: len(source) - found.get(split, 0) for split, source in self.splits.items()}


def open_images(
    spec: ExperimentSpec,
    recorded: Recorded | None = None,
    classes: tuple[str, ...] | None = None,
    place: Place = ALONE,
    may_check: Callable[[int], None] = lambda images: None,
) -> Images:
    """Finds (or downloads), indexes and checks the images of an experiment.

    If they are checked during training (:func:`checked_during_training`), none has been read yet.

    Args:
        spec: The experiment.
        recorded: The splits of a run that goes on, where its spec divides the images.
        classes: The classes of that run, in label order.
        place: Which process this one is. Those of a machine share its CPUs and the space of
            ``cache``.
        may_check: Called with the number of images of a dataset that has splits, before they are
            checked; what it raises ends the call.

    Raises:
        DatasetError: A folder is missing, there is only one class, classes differ, images are
            broken and the spec does not say to skip them, images are in both splits and the
            spec says to stop, or recorded ones are gone or have changed.
        SpecError: There is not a single training batch.
    """
    dataset = spec.dataset
    if dataset.fold is not None:
        splits, broken = _open_fold(spec, dataset.fold)
    elif dataset.split is not None:
        splits, broken = _open_divided(spec, dataset.split, recorded, classes)
    else:
        splits, broken = _open_splits(spec, may_check)
    train, val = splits["train"], splits["val"]
    stores = open_stores(spec, train, val, place.local_processes)
    if broken is None:
        # Validation images are few as a rule, and the first evaluation needs all of them.
        splits = {"val": val, "train": train}
        check = BackgroundCheck(splits, dataset.broken, spec.workers, place.leads)
        images = Images(train, val, check.skipped, stores, None, check, place)
    else:
        for unreadable in broken.values():
            for image in unreadable:
                log.warning("left out %s: %s", image.identity, image.reason)
        skipped = {split: len(unreadable) for split, unreadable in broken.items()}
        images = Images(train, val, skipped, stores, splits.get("test"), None, place)
    images.training_batches(spec)  # a wrong size is an error before anything is trained
    return images


Opened = tuple[Mapping[str, ImageSource], Mapping[str, list[BrokenImage]] | None]
"""The images of ``train``, ``val`` and perhaps ``test``; and those that cannot be read, by split or
as ``all``, where they are in none. None if no image has been read."""


def _open_splits(spec: ExperimentSpec, may_check: Callable[[int], None]) -> Opened:
    dataset, names = spec.dataset, spec.dataset.splits
    train = open_split(dataset, names.train)
    check_several_classes(train, names.train)
    val = open_split(dataset, names.val, train.classes)
    if checked_during_training(spec, len(train) + len(val)):
        return {"train": train, "val": val}, None
    may_check(len(train) + len(val))
    train, train_broken = clean(train, dataset.broken, spec.workers)
    val, val_broken = clean(val, dataset.broken, spec.workers)
    check_duplicates(train, val, names, dataset.duplicates)
    return {"train": train, "val": val}, {"train": train_broken, "val": val_broken}


def _open_fold(spec: ExperimentSpec, fold: FoldSpec) -> Opened:
    dataset = _format(spec.dataset)
    refuse_during_training(dataset, "folds keep")
    images = open_fold(dataset, fold, dataset_folder(dataset), workers=spec.workers)
    check_several_classes(images.train, dataset.splits.train)
    return {"train": images.train, "val": images.val}, images.broken


def _open_divided(
    spec: ExperimentSpec,
    split: SplitSpec,
    recorded: Recorded | None,
    classes: tuple[str, ...] | None,
) -> Opened:
    dataset = _format(spec.dataset)
    refuse_during_training(dataset, "dataset.split keeps")
    folder = dataset_folder(dataset)
    for name in split.sizes:
        check_split_name(split, name, recorded)
    divided = open_divided(dataset, split, folder, spec.workers, recorded)
    parts = {name: labeled_with(part, classes, folder) for name, part in divided.splits.items()}
    return parts, {"all": divided.broken}


def open_split(
    dataset: DatasetSpec,
    split: str,
    classes: tuple[str, ...] | None = None,
    root: str | Path | None = None,
) -> ImageSource:
    """Opens a split of a dataset that has splits, or a fold; downloads the dataset if necessary.

    Args:
        dataset: The dataset of a loaded spec.
        split: The split's name. Those to train and to validate on are divided anew if the spec
            names a fold.
        classes: The classes it must have, in label order; None takes those it has.
        root: Another folder of the same format, instead of the dataset's own.

    Raises:
        DatasetError: The dataset or the split is missing or damaged, or classes differ.
    """
    known = _format(dataset)
    if root is not None:
        return known.open(Path(root), split, classes)
    folder, splits = dataset_folder(known), known.splits
    if known.fold is None or split not in (splits.train, splits.val):
        return known.open(folder, split, classes)
    images = open_fold(known, known.fold, folder, classes)
    return images.train if split == splits.train else images.val


def open_part(spec: ExperimentSpec, part: str) -> ImageSource:
    """Opens and checks the training or validation images as a run of the spec does.

    Args:
        spec: The experiment.
        part: ``train`` or ``val``; of a divided dataset, any of its splits.

    Raises:
        DatasetError: The images are missing or broken, or there is no such split.
    """
    dataset = _format(spec.dataset)
    if dataset.split is not None and dataset.fold is None:
        check_split_name(dataset.split, part)
        folder = dataset_folder(dataset)
        return open_divided(dataset, dataset.split, folder, spec.workers).splits[part]
    if part not in ("train", "val"):
        raise DatasetError(f"there is no split '{part}', which only dataset.split makes.")
    source = train = open_split(dataset, dataset.splits.train)
    val = open_split(dataset, dataset.splits.val, train.classes)
    if part == "val":
        source = val
    during = dataset.fold is None and checked_during_training(spec, len(train) + len(val))
    return source if during else _readable(source, spec)


def find_classes(dataset: DatasetSpec) -> tuple[str, ...]:
    """Returns the classes of the training images, in label order; reads no image.

    Raises:
        DatasetError: The dataset is missing or damaged.
    """
    known = _format(dataset)
    if known.split is not None:
        return known.open_all(dataset_folder(known)).classes
    return open_split(known, known.splits.train).classes


def open_labeled(
    spec: ExperimentSpec,
    classes: tuple[str, ...],
    split: str | None = None,
    root: str | Path | None = None,
    recorded: Recorded | None = None,
) -> ImageSource:
    """Opens and checks a split to evaluate a trained model on.

    Its classes are matched by name; the split need not have all of them.

    Args:
        spec: The run's spec, which says what to do about broken images.
        classes: The model's classes.
        split: The split's name; None takes the validation split, or all images in `root` where the
            spec divides the images.
        root: Another folder of the same format, instead of the spec's dataset.
        recorded: The splits of the run, where the spec divides the images.

    Raises:
        DatasetError: The images are missing or broken, or have a class that the model lacks; or
            there is no such split.
    """
    dataset = _format(spec.dataset)
    name = split or dataset.splits.val
    where = f"{dataset.path if root is None else root}: its split '{name}'"
    of_fold = root is None and dataset.fold is not None and name in ("train", "val")
    if dataset.split is None or of_fold:
        everything = open_split(dataset, name, None, root)
        check_known_classes(where, everything.classes, classes)
        return labeled_with(_readable(everything, spec), classes, where)
    folder = Path(root) if root is not None else dataset_folder(dataset)
    if root is not None and split is None:
        source, _ = clean(dataset.open_all(folder), dataset.broken, spec.workers)
        return labeled_with(source, classes, root)
    check_split_name(dataset.split, name, recorded)
    wanted = {name: recorded[name]} if recorded is not None else None
    divided = open_divided(dataset, dataset.split, folder, spec.workers, wanted)
    return labeled_with(divided.splits[name], classes, where)


def _readable(source: ImageSource, spec: ExperimentSpec) -> ImageSource:
    """Returns the images that can be read; folds have no others."""
    if source.origin is not None:
        return source
    return clean(source, spec.dataset.broken, spec.workers)[0]


def _format(dataset: DatasetSpec) -> DatasetFormat:
    assert isinstance(dataset, DatasetFormat), "every format that a spec may name derives from it"
    return dataset
