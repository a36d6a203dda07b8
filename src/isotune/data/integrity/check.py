"""Finds images that cannot be read, before training starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.data import decode
from isotune.data.caches.files import PART
from isotune.data.identify import identify
from isotune.data.integrity.broken import is_short_of_memory
from isotune.data.sources.encoded import EncodedSource
from isotune.data.sources.subset import Subset
from isotune.data.workers import in_threads
from isotune.errors import DatasetError, first_lines
from isotune.interfaces.dataset import ImageSource, class_counts
from isotune.interfaces.versions import versions
from isotune.spec.dataset import MAX_PIXELS


@dataclass(frozen=True)
class BrokenImage:
    """An image that cannot be read.

    Attributes:
        index: its position in the source.
        identity: its name, usually its path.
        reason: why it cannot be read.
    """

    index: int
    identity: str
    reason: str


def clean(
    source: ImageSource,
    policy: Literal["error", "skip"],
    workers: int | None = None,
    chosen: NDArray[np.int64] | None = None,
) -> tuple[ImageSource, list[BrokenImage]]:
    """Returns `source` without its broken images, and the broken images.

    Args:
        source: the images.
        policy: whether broken images raise an error or are skipped.
        workers: number of reading threads; None chooses.
        chosen: positions of the images to return, in that order; None for all.

    Raises:
        DatasetError: the policy is ``error`` and images are broken, or no image of a class can be
            read. The message lists the broken images.
    """
    broken = find_broken(source, workers)
    if chosen is not None:
        among = set(chosen.tolist())
        broken = [image for image in broken if image.index in among]
    if not broken:
        return source if chosen is None else Subset(source, chosen.tolist()), []
    if policy == "error":
        raise DatasetError(*_listing(broken))
    return without(source, broken, chosen), broken


def without(
    source: ImageSource, broken: list[BrokenImage], chosen: NDArray[np.int64] | None = None
) -> ImageSource:
    """Returns `source`, or the `chosen` ones of its images, without the broken ones.

    Raises:
        DatasetError: No image of a class is left.
    """
    indices = np.arange(len(source)) if chosen is None else chosen
    left_out = np.isin(indices, [image.index for image in broken])
    readable = Subset(source, indices[~left_out].tolist())
    before, after = (class_counts(each.labels, len(source.classes)) for each in (source, readable))
    for label in np.flatnonzero((before > 0) & (after == 0)):
        first, *others = _listing(broken)
        raise DatasetError(
            f"no image of class '{source.classes[label]}' can be read: {first}", *others
        )
    return readable


def _listing(broken: list[BrokenImage]) -> list[str]:
    count = "1 image is" if len(broken) == 1 else f"{len(broken)} images are"
    lines = [f"  {image.identity}: {image.reason}" for image in broken]
    return [f"{count} broken; repair, delete or skip:", *first_lines(lines)]


def find_broken(source: ImageSource, workers: int | None = None) -> list[BrokenImage]:
    """Reads every image completely and returns those that cannot be read, in order.

    Files that were checked before and have not changed since are not decoded again.
    """
    found = []
    for start in range(0, len(source), PART):
        found += check_some(source, range(start, min(start + PART, len(source))), workers)
    save_checks(source)
    return found


def check_some(
    source: ImageSource, indices: Sequence[int], workers: int | None = None
) -> list[BrokenImage]:
    """Reads some images completely and returns those that cannot be read, in order.

    Args:
        source: The images.
        indices: Which of them.
        workers: Number of reading threads; None chooses.
    """
    if source.always_readable or not len(indices):
        return []
    held, places = source.held_by(np.asarray(indices, np.int64))
    if isinstance(held, EncodedSource):
        check = partial(check_image, max_pixels=held.max_pixels)
        problems = held.files.examine(places.tolist(), check, _version(held), workers)
        reasons = [problems.get(place, "") for place in places.tolist()]
    else:
        reasons = in_threads(lambda index: _check_loading(source, index), indices, workers)
    return [
        BrokenImage(index, source.identify(index), reason)
        for index, reason in zip(indices, reasons, strict=True)
        if reason
    ]


def save_checks(source: ImageSource) -> None:
    """Caches what was found out about the files of a source, for later runs."""
    held, _ = source.held_by(np.arange(0))
    if isinstance(held, EncodedSource):
        held.files.save()


def _version(source: EncodedSource) -> str:
    return f"{_decoders()}, rules {decode.RULES}, at most {source.max_pixels} pixels"


def check_image(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS) -> str:
    """Returns why an open file cannot be read as an image, or an empty string if it can.

    Args:
        file: The file.
        name: What messages call it.
        max_pixels: Largest number of pixels that is decoded.

    Raises:
        DatasetError: There is not enough memory, which says nothing about the file.
    """
    try:
        with identify(file, max_pixels) as image, decode.ROOM.taken(decode.footprint(image)):
            if image.format in ("JPEG", "MPO"):
                # At an eighth of the size all data is still decoded, in half the time.
                image.draft("L", (1, 1))
                image.load()
            else:
                decode.to_rgb(image, name)
    except MemoryError as error:
        raise DatasetError(f"{name}: {decode.reason(error)}.") from error
    except Exception as error:  # decoders raise errors of any type
        return decode.reason(error)
    return ""


def _check_loading(source: ImageSource, index: int) -> str:
    try:
        source.load(index)
    except Exception as error:
        if is_short_of_memory(error):
            name = source.identify(index)
            raise DatasetError(f"{name}: there is not enough memory for it.") from error
        # Its name is listed before the reason.
        return decode.reason(error).removeprefix(f"{source.identify(index)}: ")
    return ""


@cache
def _decoders() -> dict[str, str]:
    return {name: v for name, v in versions().items() if name.startswith("pillow")}
