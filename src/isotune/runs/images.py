"""``images.jsonl``: which images a run trains, validates and tests on, one a line.

::

    {"format": 1}
    ["train", "ants", "ants/0013035.jpg", "3f1c..."]
    ["val", "bees", "bees/1032546534_06907fe3b3.jpg", "9b0e..."]

A line names the split, the class (or a list of them, where an image may have several labels), the
image in its split, and the digest of its content, the first 16 bytes of SHA-256 as hexadecimal
digits, or an empty string where a dataset has none. The order is that of the dataset, on which the
order of every epoch depends.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import NamedTuple

from isotune.data.splitting.recorded import RecordedSplit
from isotune.errors import RunError
from isotune.storage.atomic import atomic_file
from isotune.storage.untrusted import open_regular

FILE = "images.jsonl"
FORMAT = {"format": 1}

MAX_LINE = 1 << 16
"""Maximum number of bytes of a line."""


class ListedImage(NamedTuple):
    """An image of a run.

    Attributes:
        split: ``train``, ``val`` or, where the spec divides the images, ``test``.
        label: The name of its class, or the names of all, where an image may have several labels.
        name: Its name in the split.
        digest: Hexadecimal digits, or an empty string.
    """

    split: str
    label: str | tuple[str, ...]
    name: str
    digest: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its classes."""
        return (self.label,) if isinstance(self.label, str) else self.label

    def __str__(self) -> str:
        return f"{self.split}: {self.name}"

    @property
    def place(self) -> tuple[str, str]:
        """What names it."""
        return self.split, self.name

    @property
    def line(self) -> bytes:
        """Its line in the file."""
        # A million times json.dumps would take several seconds.
        split, label, name, digest = map(_quoted, self)
        return f"[{split}, {label}, {name}, {digest}]\n".encode()


def _quoted(text: str | tuple[str, ...]) -> str:
    return encode_basestring_ascii(text) if isinstance(text, str) else json.dumps(text)


@dataclass(frozen=True)
class ImagesSummary:
    """What a list of images comes to.

    Attributes:
        counts: Number of images of each class that has some, by split.
        fingerprints: SHA-256 of each split's lines, as hexadecimal digits.
        shared: Number of validation images whose content a training image has, too; None where an
            image has no digest.
    """

    counts: Mapping[str, Mapping[str, int]]
    fingerprints: Mapping[str, str]
    shared: int | None


def summarize_images(images: Iterable[ListedImage]) -> ImagesSummary:
    """Returns what a list of images comes to; training images come first."""
    counts: dict[str, Counter[str]] = {}
    hashes: dict[str, hashlib._Hash] = {}
    trained, shared, without = set(), 0, False
    for image in images:
        counts.setdefault(image.split, Counter()).update(image.labels)
        hashes.setdefault(image.split, hashlib.sha256()).update(image.line)
        without = without or not image.digest
        if image.split == "train":
            trained.add(image.digest)
        elif image.split == "val":
            shared += image.digest in trained
    fingerprints = {split: digest.hexdigest() for split, digest in hashes.items()}
    return ImagesSummary(counts, fingerprints, None if without else shared)


def read_images(folder: Path) -> Iterator[ListedImage] | None:
    """Returns the images that a run lists, split by split, training images first; or None.

    Raises:
        RunError: While they are read: the list is damaged.
    """
    path = folder / FILE
    return _read(path) if os.path.lexists(path) else None


def recorded_splits(folder: Path) -> dict[str, RecordedSplit] | None:
    """Returns the images that a run lists by split; None if it has no list.

    Raises:
        RunError: The list is damaged.
    """
    listed = read_images(folder)
    if listed is None:
        return None
    found: dict[str, list[ListedImage]] = {}
    for image in listed:
        found.setdefault(image.split, []).append(image)
    return {
        split: RecordedSplit([each.name for each in images], [each.digest for each in images])
        for split, images in found.items()
    }


def write_images(folder: Path, images: Iterable[ListedImage]) -> None:
    """Writes the list of a run's images.

    Raises:
        RunError: It cannot be written.
    """
    path = folder / FILE
    try:
        with atomic_file(path) as file:
            file.write(f"{json.dumps(FORMAT)}\n".encode())
            file.writelines(image.line for image in images)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}.") from error


def check_same_images(folder: Path, images: Iterable[ListedImage]) -> None:
    """Checks that a run's images are still the same; earlier runs have no list.

    Raises:
        RunError: Images are gone, new, or have another content; the message counts them and names
            the first. Or the list is damaged.
    """
    listed, present = read_images(folder), iter(images)
    if listed is None:
        return
    for before, now in zip_longest(listed, present):
        if before is None or now is None or not _equal(before, now):
            break
    else:
        return
    rest = [now, *present]
    # Some more lines than there are images are enough to say what is gone.
    differences = _differences([before, *islice(listed, 2 * len(rest) + 1000)], rest)
    raise RunError(
        f"{folder}: the images are not those of the run: {differences}. Put back what was there, or"
        " start a new run."
    )


def _differences(
    listed: Iterable[ListedImage | None], present: Iterable[ListedImage | None]
) -> str:
    """Returns what became of images, from the first one on that is not the same; None is none."""
    before = {image.place: image for image in listed if image}
    now = {image.place: image for image in present if image}
    both = [(image, now[place]) for place, image in before.items() if place in now]
    kinds = {
        ("is gone", "are gone"): [image for place, image in before.items() if place not in now],
        ("is new", "are new"): [image for place, image in now.items() if place not in before],
        ("is in another class", "are in another class"): [
            image for image, other in both if image.label != other.label
        ],
        ("has another content", "have another content"): [
            image for image, other in both if not _equal_content(image, other)
        ],
    }
    found = [
        f"{len(some)} {many}, the first {some[0]}" if len(some) > 1 else f"{some[0]} {one}"
        for (one, many), some in kinds.items()
        if some
    ]
    return "; ".join(found) or "their order is another one"


def _equal(one: ListedImage, other: ListedImage) -> bool:
    return one[:3] == other[:3] and _equal_content(one, other)


def _equal_content(one: ListedImage, other: ListedImage) -> bool:
    return one.digest == other.digest or not (one.digest and other.digest)


def _read(path: Path) -> Iterator[ListedImage]:
    number = 1
    try:
        with open_regular(path) as file:
            if json.loads(file.readline(MAX_LINE)) != FORMAT:
                raise ValueError("it is of another format")
            while line := file.readline(MAX_LINE):
                number += 1
                yield _listed(*json.loads(line))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{path}:{number}: is no list of a run's images: {reason}. Without the file, the run is"
            " resumed without comparing images."
        ) from error


def _listed(split: str, label: str | list[str], name: str, digest: str) -> ListedImage:
    labels = [label] if isinstance(label, str) else label
    if not (isinstance(labels, list) and all(isinstance(e, str) for e in (split, name, digest))):
        raise ValueError("it should be four strings, or have a list of classes")
    if not all(isinstance(each, str) for each in labels):
        raise ValueError("its classes should be strings")
    return ListedImage(split, label if isinstance(label, str) else tuple(label), name, digest)
