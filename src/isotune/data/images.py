"""The images of an experiment: its splits, opened and checked, and batches of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from isotune.data.batches import Batches
from isotune.data.caches.open import PixelCaches, open_stores
from isotune.data.caches.pixels import PixelStore
from isotune.data.download import ensure_dataset
from isotune.data.integrity.check import clean
from isotune.data.sources.formats import FORMATS
from isotune.errors import DatasetError, SpecError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.parts import DatasetSpec
from isotune.storage import home

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """The training and validation images.

    Attributes:
        skipped: unreadable images left out, by split.
        kept: where they are kept between epochs; of use for one spec only.
    """

    train: ImageSource
    val: ImageSource
    skipped: dict[str, int]
    kept: PixelCaches = field(default_factory=PixelCaches)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""
        return self.train.classes

    def counts(self) -> dict[str, tuple[int, ...]]:
        """Returns by split how many images there are of each class, in label order."""
        size = len(self.classes)
        return {
            name: tuple(np.bincount(source.labels, minlength=size).tolist())
            for name, source in (("train", self.train), ("val", self.val))
        }

    def training_batches(self, spec: ExperimentSpec) -> Batches:
        """Returns the batches of a training epoch, for a resolved spec."""
        return training_batches(self.train, spec, self.kept.train)

    def validation_batches(self, spec: ExperimentSpec, size: int) -> Batches:
        """Returns the batches of a validation, of `size` at most, for a resolved spec."""
        return evaluation_batches(self.val, spec, size, self.kept.val)


def training_batches(
    source: ImageSource, spec: ExperimentSpec, store: PixelStore | None = None
) -> Batches:
    """Returns batches of `source` as they are trained on, for a resolved spec.

    Args:
        source: the images.
        spec: the resolved spec.
        store: where they are kept between epochs.

    Raises:
        SpecError: there is not one batch.
    """
    assert spec.transforms.train is not None, "resolve() comes first"
    batches = Batches(
        source,
        spec.transforms.train,
        spec.batch_size,
        seed=spec.seed,
        workers=spec.workers,
        shuffle=True,
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
    """Returns batches of `source` as they are evaluated, in its order, for a resolved spec.

    They are as few as `size` allows, and as even as so few can be: of 101 images not 32, 32, 32
    and 5, but 26, 26, 26 and 23. A backend that compiles a step for each batch size can then fill
    up the last one cheaply, most of the time.

    Args:
        source: the images.
        spec: the resolved spec.
        size: images a batch, at most.
        store: where they are kept between evaluations.
    """
    assert spec.transforms.val is not None, "resolve() comes first"
    count = max(-(-len(source) // size), 1)
    return Batches(
        source,
        spec.transforms.val,
        max(-(-len(source) // count), 1),
        seed=spec.seed,
        workers=spec.workers,
        shuffle=False,
        store=store,
    )


def open_images(spec: ExperimentSpec) -> Images:
    """Finds (or downloads), indexes and checks the images of an experiment.

    Raises:
        DatasetError: a folder is missing, classes differ, or images are broken and the
            spec does not say to skip them.
        SpecError: there is not one training batch.
    """
    train = open_split(spec.dataset, spec.dataset.splits.train)
    val = open_split(spec.dataset, spec.dataset.splits.val, train.classes)
    checked, skipped = {}, {}
    for name, source in (("train", train), ("val", val)):
        checked[name], broken = clean(source, spec.dataset.broken, spec.workers)
        skipped[name] = len(broken)
        for image in broken:
            log.warning("left out %s: %s", image.identity, image.reason)
    kept = open_stores(spec, checked["train"], checked["val"])
    images = Images(checked["train"], checked["val"], skipped, kept)
    images.training_batches(spec)  # a wrong size is told before anything is trained
    return images


def open_split(
    dataset: DatasetSpec,
    split: str,
    classes: tuple[str, ...] | None = None,
    root: str | Path | None = None,
) -> ImageSource:
    """Opens a split of a dataset; downloads the dataset if need be.

    Args:
        dataset: the dataset of a loaded spec.
        split: the split's name.
        classes: the classes it must have, in label order; None takes those it has.
        root: another folder of the same format, in place of the dataset's own.

    Raises:
        DatasetError: the dataset or the split is missing or damaged, or classes differ.
    """
    folder = Path(root) if root is not None else dataset_folder(dataset)
    return FORMATS[dataset.format](folder, split, classes)


def open_labelled(
    spec: ExperimentSpec,
    classes: tuple[str, ...],
    split: str | None = None,
    root: str | Path | None = None,
) -> ImageSource:
    """Opens and checks the images of a split that a trained model is asked about.

    Args:
        spec: the run's spec, which says what to do about broken images.
        classes: the model's classes.
        split: the split's name; None takes the validation split.
        root: another folder of the same format, in place of the spec's dataset.

    Raises:
        DatasetError: the images are missing, broken or of other classes.
    """
    found = open_split(spec.dataset, split or spec.dataset.splits.val, classes, root)
    source, _ = clean(found, spec.dataset.broken, spec.workers)
    return source


def dataset_folder(spec: DatasetSpec) -> Path:
    """Returns the folder of a loaded spec's dataset; downloads it if need be.

    Raises:
        DatasetError: it is not there and there is no address to download it from.
    """
    path = home.datasets() / Path(spec.path).expanduser()  # an absolute path stays as it is
    try:
        return ensure_dataset(path, spec.url, spec.sha256, _split_folders(spec))
    except DatasetError as error:
        beside = "" if path == Path(spec.path) else f" Nor is there a {spec.path} beside the spec."
        raise DatasetError(f"dataset.path: {error}{beside}") from error


def _split_folders(spec: DatasetSpec) -> set[str]:
    """Returns what is right in the folder of a dataset whose splits are folders."""
    return {
        part for split in (spec.splits.train, spec.splits.val) for part in Path(split).parts[:1]
    }
