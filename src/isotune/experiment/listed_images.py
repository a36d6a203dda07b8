"""The images of an experiment as its run folder lists them."""

from __future__ import annotations

from collections.abc import Iterator
from unicodedata import normalize

from isotune.data.images import Images
from isotune.runs.images import ListedImage


def listed_images(images: Images) -> Iterator[ListedImage]:
    """Yields the training images and then the validation images, in order."""
    for split, source in (("train", images.train), ("val", images.val)):
        digests = source.digests()
        for index, label in enumerate(source.labels.tolist()):
            yield ListedImage(
                split,
                source.classes[label],
                # macOS may store the same name in other code points.
                normalize("NFC", source.name(index)),
                "" if digests is None else digests[index].tobytes().hex(),
            )
