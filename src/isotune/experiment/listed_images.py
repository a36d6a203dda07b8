"""The images of an experiment as its run folder lists them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from isotune.data.folders import one_form
from isotune.data.images import dataset_folder
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.runs.images import ListedImage
from isotune.spec.dataset import DatasetSpec
from isotune.training.session import Session


def listed_images(session: Session) -> Iterator[ListedImage]:
    """Yields the training images and then the validation images, in order."""
    dataset, images = session.spec.dataset, session.images
    yield from listed_split("train", images.train, dataset)
    yield from listed_split("val", images.val, dataset)


def listed_split(
    split: Literal["train", "val"],
    source: ImageSource,
    dataset: DatasetSpec,
    root: str | Path | None = None,
) -> Iterator[ListedImage]:
    """Yields the images of an open split, in order.

    Args:
        split: Which one.
        source: Its images.
        dataset: The dataset of a loaded spec.
        root: Folder of the images, if it is not the dataset's own.
    """
    assert isinstance(dataset, DatasetFormat), "the images are open"
    folder = f"{root or dataset_folder(dataset)}{os.sep}"
    digests = source.digests()
    for index in range(len(source)):
        labels = tuple(map(one_form, source.label_names(index)))
        yield ListedImage(
            split,
            labels[0] if source.labels.ndim == 1 else labels,
            one_form(source.name(index).removeprefix(folder)),
            "" if digests is None else digests[index].tobytes().hex(),
        )
