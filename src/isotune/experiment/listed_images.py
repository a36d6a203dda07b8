"""The images of an experiment as its run folder lists them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from isotune.data.folders import one_form
from isotune.data.location import dataset_folder
from isotune.data.splitting.recorded import portable_name
from isotune.interfaces.dataset import DatasetFormat, ImageSource
from isotune.runs.images import ListedImage
from isotune.spec.dataset import DatasetSpec
from isotune.training.session import Session


def listed_images(session: Session, *, contents: bool = True) -> Iterator[ListedImage]:
    """Yields the training images, the validation images and the test images, in order.

    Args:
        session: The experiment.
        contents: Whether to digest their contents, for which each must have been read.
    """
    for split, source in session.images.splits.items():
        yield from listed_split(split, source, session.spec.dataset, contents=contents)


def listed_split(
    split: str,
    source: ImageSource,
    dataset: DatasetSpec,
    root: str | Path | None = None,
    *,
    contents: bool = True,
) -> Iterator[ListedImage]:
    """Yields the images of an open split, in order.

    Args:
        split: Which one.
        source: Its images.
        dataset: The dataset of a loaded spec.
        root: Folder of the images, if it is not the dataset's own.
        contents: Whether to digest their contents.
    """
    assert isinstance(dataset, DatasetFormat), "the images are open"
    folder = Path(root) if root is not None else dataset_folder(dataset)
    digests = source.digests() if contents else None
    form = cache(one_form)  # of a million images' labels
    for index in range(len(source)):
        labels = tuple(map(form, source.label_names(index)))
        yield ListedImage(
            split,
            labels[0] if source.labels.ndim == 1 else labels,
            portable_name(source, index, folder),
            "" if digests is None else digests[index].tobytes().hex(),
        )
