"""The images of an experiment as its run folder lists them."""

from __future__ import annotations

import os
from collections.abc import Iterator

from isotune.data.folders import one_form
from isotune.data.images import dataset_folder
from isotune.interfaces.dataset import DatasetFormat
from isotune.runs.images import ListedImage
from isotune.training.session import Session


def listed_images(session: Session) -> Iterator[ListedImage]:
    """Yields the training images and then the validation images, in order."""
    dataset = session.spec.dataset
    assert isinstance(dataset, DatasetFormat), "the images are open"
    folder = f"{dataset_folder(dataset)}{os.sep}"
    for split, source in (("train", session.images.train), ("val", session.images.val)):
        digests = source.digests()
        for index, label in enumerate(source.labels.tolist()):
            yield ListedImage(
                split,
                one_form(source.classes[label]),
                one_form(source.name(index).removeprefix(folder)),
                "" if digests is None else digests[index].tobytes().hex(),
            )
