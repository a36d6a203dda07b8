"""Images of the validation split for visitors who have none at hand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from isotune.data.images import open_split
from isotune.errors import DatasetError, RunError
from isotune.experiment.classifier import Classifier
from isotune.exporting.model import ExportedModel
from isotune.interfaces.dataset import ImageSource
from isotune.reports.examples import evenly, listed
from isotune.serving.page.answers import Thumbnail
from isotune.storage import home
from isotune.storage.paths import exists, inner_path

log = logging.getLogger(__name__)

COUNT = 8
SIDE = 192
"""Number of pixels on the longer side of a thumbnail."""


@dataclass(frozen=True)
class Examples:
    """Images of a split, taken evenly so that every class has its share.

    Attributes:
        split: The split's name.
        thumbnails: Their small images, in order.
    """

    split: str
    thumbnails: tuple[Thumbnail, ...] = ()
    _source: ImageSource | None = None
    _indices: Sequence[int] = ()

    def file(self, position: int) -> tuple[str, bytes]:
        """Returns the name of an example and its pixels as a PNG file.

        Raises:
            DatasetError: There is no such example, or its file can no longer be read.
        """
        if self._source is None or not 0 <= position < len(self._indices):
            raise DatasetError("there is no such example.")
        image = BytesIO()
        self._source.load(self._indices[position]).save(image, "PNG", compress_level=1)
        return f"example {position + 1}", image.getvalue()


def _open(classifier: Classifier) -> ImageSource:
    """Opens the validation images, unchecked where they need not be divided."""
    dataset = classifier.spec.dataset
    if dataset.split is None:
        return open_split(dataset.model_copy(update={"url": None}), dataset.splits.val)
    if dataset.url is not None and not exists(home.datasets() / dataset.path):
        raise DatasetError(f"{dataset.path}: has not been downloaded.")
    return classifier.open_images()


def find_examples(classifier: Classifier, count: int = COUNT) -> Examples:
    """Returns examples from the validation split; none where the dataset is not there.

    It downloads nothing. Images that cannot be read are left out. Of an exported model, whose file
    may come from anywhere, only a dataset in ``$ISOTUNE_HOME/datasets`` is shown to visitors.
    """
    dataset = classifier.spec.dataset
    split = dataset.splits.val
    try:
        if isinstance(classifier, ExportedModel):
            inner_path(home.datasets(), dataset.path)
        source = _open(classifier)
    except (DatasetError, RunError, ValueError) as error:
        log.info("the page shows no examples: %s", error)
        return Examples(split)
    found = []
    for index in evenly(len(source), count):
        try:
            image = source.load(index)
        except DatasetError as error:
            log.info("the page leaves out an example: %s", error)
            continue
        image.thumbnail((SIDE, SIDE))
        file = BytesIO()
        image.save(file, "JPEG", quality=85)
        label = listed(source.label_names(index))
        found.append((index, Thumbnail(file.getvalue(), label)))
    return Examples(split, tuple(each for _, each in found), source, [index for index, _ in found])
