"""The images of an experiment: opens and checks its splits, and makes batches of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isotune.data.batches import Batches
from isotune.data.caches.open import PixelCaches, open_stores
from isotune.data.caches.pixels import PixelStore
from isotune.data.download import ensure_dataset
from isotune.data.duplicates import check_duplicates
from isotune.data.folds import open_fold
from isotune.data.integrity.check import BrokenImage, clean
from isotune.data.sources.folder import check_several_classes
from isotune.data.sources.relabeled import Relabeled, check_known_classes
from isotune.errors import DatasetError, SpecError
from isotune.interfaces.dataset import DatasetFormat, ImageSource, class_counts
from isotune.spec.dataset import DatasetSpec
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.fold import FoldSpec
from isotune.storage import home
from isotune.storage.paths import exists, expanded, inner_path, is_plain_name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """The training and validation images.

    Attributes:
        skipped: Number of unreadable images that were skipped, by split.
        caches: Pixel caches between epochs; valid for one spec only.
    """

    train: ImageSource
    val: ImageSource
    skipped: dict[str, int]
    caches: PixelCaches = field(default_factory=PixelCaches)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""
        return self.train.classes

    def counts(self) -> dict[str, tuple[int, ...]]:
        """Returns the number of images of each class, in label order, by split."""
        size = len(self.classes)
        return {
            name: tuple(class_counts(source.labels, size).tolist())
            for name, source in (("train", self.train), ("val", self.val))
        }

    def training_batches(self, spec: ExperimentSpec) -> Batches:
        """Returns the batches of a training epoch, for a resolved spec."""
        return training_batches(self.train, spec, self.caches.train)

    def validation_batches(self, spec: ExperimentSpec, size: int) -> Batches:
        """Returns the batches of a validation, at most `size` images each, for a resolved spec."""
        return evaluation_batches(self.val, spec, size, self.caches.val)


def training_batches(
    source: ImageSource, spec: ExperimentSpec, store: PixelStore | None = None
) -> Batches:
    """Returns the training batches of `source`.

    Args:
        source: The images.
        spec: A resolved spec.
        store: Pixel cache between epochs.

    Raises:
        SpecError: There is not a single batch.
    """
    assert spec.transforms.train is not None, "resolve() comes first"
    batches = Batches(
        source,
        spec.transforms.train,
        spec.batch_size,
        seed=spec.seed,
        workers=spec.workers,
        sampler=spec.sampler,
        drop_last=spec.drop_last,
        store=store,
    )
    if not len(batches):
        raise SpecError(
            f"batch_size: is {spec.batch_size}, but there are only {len(source)} training"
            " images and drop_last leaves out a short batch."
        )
    return batches


def evaluation_batches(
    source: ImageSource, spec: ExperimentSpec, size: int, store: PixelStore | None = None
) -> Batches:
    """Returns the evaluation batches of `source`, in its order.

    There are as few as `size` allows, of sizes as equal as possible: 101 images come as 26, 26,
    26 and 23, not as 32, 32, 32 and 5. A backend that compiles a step for each batch size can then
    usually pad the last batch at little cost.

    Args:
        source: The images.
        spec: A resolved spec.
        size: Maximum number of images in a batch.
        store: Pixel cache between evaluations.
    """
    assert spec.transforms.val is not None, "resolve() comes first"
    count = max(-(-len(source) // size), 1)
    return Batches(
        source,
        spec.transforms.val,
        max(-(-len(source) // count), 1),
        seed=spec.seed,
        workers=spec.workers,
        sampler=None,
        store=store,
    )


def open_images(spec: ExperimentSpec) -> Images:
    """Finds (or downloads), indexes and checks the images of an experiment.

    Raises:
        DatasetError: A folder is missing, there is only one class, classes differ, images are
            broken and the spec does not say to skip them, or images are in both splits and the
            spec says to stop.
        SpecError: There is not a single training batch.
    """
    pair = _open_splits(spec) if spec.dataset.fold is None else _open_fold(spec, spec.dataset.fold)
    train, val, broken = pair
    for unreadable in broken.values():
        for image in unreadable:
            log.warning("left out %s: %s", image.identity, image.reason)
    if spec.dataset.fold is None:  # identical images are in one fold
        check_duplicates(train, val, spec.dataset.splits, spec.dataset.duplicates)
    skipped = {split: len(unreadable) for split, unreadable in broken.items()}
    images = Images(train, val, skipped, open_stores(spec, train, val))
    images.training_batches(spec)  # a wrong size is an error before anything is trained
    return images


Opened = tuple[ImageSource, ImageSource, Mapping[str, list[BrokenImage]]]
"""Images to train and to validate on, and those that cannot be read, by ``train`` and ``val``."""


def _open_splits(spec: ExperimentSpec) -> Opened:
    splits = spec.dataset.splits
    train = open_split(spec.dataset, splits.train)
    check_several_classes(train, splits.train)
    val = open_split(spec.dataset, splits.val, train.classes)
    train, train_broken = clean(train, spec.dataset.broken, spec.workers)
    val, val_broken = clean(val, spec.dataset.broken, spec.workers)
    return train, val, {"train": train_broken, "val": val_broken}


def _open_fold(spec: ExperimentSpec, fold: FoldSpec) -> Opened:
    assert isinstance(spec.dataset, DatasetFormat), "every format derives from it"
    folder = dataset_folder(spec.dataset)
    images = open_fold(spec.dataset, fold, folder, workers=spec.workers)
    check_several_classes(images.train, spec.dataset.splits.train)
    return images.train, images.val, images.broken


def open_split(
    dataset: DatasetSpec,
    split: str,
    classes: tuple[str, ...] | None = None,
    root: str | Path | None = None,
) -> ImageSource:
    """Opens a split of a dataset; downloads the dataset if necessary.

    Args:
        dataset: The dataset of a loaded spec.
        split: The split's name. Those to train and to validate on are divided anew if the spec
            names a fold.
        classes: The classes it must have, in label order; None takes those it has.
        root: Another folder of the same format, instead of the dataset's own.

    Raises:
        DatasetError: The dataset or the split is missing or damaged, or classes differ.
    """
    assert isinstance(dataset, DatasetFormat), "every format that a spec may name derives from it"
    if root is not None:
        return dataset.open(Path(root), split, classes)
    folder, splits = dataset_folder(dataset), dataset.splits
    if dataset.fold is None or split not in (splits.train, splits.val):
        return dataset.open(folder, split, classes)
    images = open_fold(dataset, dataset.fold, folder, classes)
    return images.train if split == splits.train else images.val


def open_labeled(
    spec: ExperimentSpec,
    classes: tuple[str, ...],
    split: str | None = None,
    root: str | Path | None = None,
) -> ImageSource:
    """Opens and checks a split to evaluate a trained model on.

    Its classes are matched by name; the split need not have all of them.

    Args:
        spec: The run's spec, which says what to do about broken images.
        classes: The model's classes.
        split: The split's name; None takes the validation split.
        root: Another folder of the same format, instead of the spec's dataset.

    Raises:
        DatasetError: The images are missing or broken, or have a class that the model lacks.
    """
    split = split or spec.dataset.splits.val
    everything = open_split(spec.dataset, split, None, root)
    where = f"{spec.dataset.path if root is None else root}: its split '{split}'"
    check_known_classes(where, everything.classes, classes)
    if everything.origin is not None:  # folds are of images that can be read
        source = everything
    else:
        source, _ = clean(everything, spec.dataset.broken, spec.workers)
    return source if source.classes == classes else Relabeled(source, classes)


def dataset_folder(dataset: DatasetFormat) -> Path:
    """Returns the folder of a loaded spec's dataset; downloads it if necessary.

    Raises:
        DatasetError: It does not exist and there is no address to download it from.
    """
    name = dataset.path
    path = home.datasets() / expanded(name)  # an absolute path stays as it is
    if dataset.url is not None and not exists(path):
        path = _download_folder(str(expanded(name)))
    try:
        entries = dataset.expected_entries()
        return ensure_dataset(path, dataset.url, dataset.sha256, entries, dataset.may_be_file)
    except DatasetError as error:
        beside = "" if path == Path(name) else f" Nor is there a {name} beside the spec."
        raise DatasetError(f"dataset.path: {error}{beside}") from error


def _download_folder(name: str) -> Path:
    try:
        return inner_path(home.datasets(), name)
    except ValueError as error:
        last = Path(name).name
        example = last if is_plain_name(last) else "images"
        raise DatasetError(
            f"dataset.path: there is no folder '{name}', and dataset.url cannot be unpacked there,"
            f" since {error}; an archive goes to a plain name, such as '{example}', in"
            f" {home.datasets()}."
        ) from error
