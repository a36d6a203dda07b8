"""The images that visitors of the page have sent: in memory, bounded, and never on the disk."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from isotune.data.decode import decode_rgb
from isotune.errors import DatasetError

PREVIEW = 1024
"""Largest number of pixels on the longer side of a preview."""

TINY = 128
"""Number of pixels on the longer side up to which JPEG would blur an image."""

SECONDS = 600.0
"""How long an image is kept."""


@dataclass(frozen=True)
class SentImage:
    """An image that a visitor sent, or the reason why there is none.

    Attributes:
        name: The file's name, printable.
        content: The file, or nothing if it was refused.
        problem: The sentence that refuses it.
    """

    name: str
    content: bytes = b""
    problem: str | None = None


class SentImages:
    """Keeps the most recent images of all visitors under names that cannot be guessed.

    Args:
        held_bytes: Number of bytes of all images together; older ones make room for new ones.
        seconds: How long each is kept.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        held_bytes: int,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = held_bytes
        self._seconds = seconds
        self._clock = clock
        self._images: OrderedDict[str, tuple[float, SentImage]] = OrderedDict()
        self._bytes = 0

    def add(self, image: SentImage) -> str:
        """Keeps an image and returns the name under which it is found."""
        self._forget_old()
        key = secrets.token_urlsafe(18)
        self._images[key] = (self._clock(), image)
        self._bytes += _size(image)
        while self._bytes > self._limit and len(self._images) > 1:
            self._forget_first()
        return key

    def get(self, key: str) -> SentImage | None:
        """Returns an image, or None if there is none of this name any more."""
        self._forget_old()
        found = self._images.get(key)
        return None if found is None else found[1]

    def _forget_old(self) -> None:
        oldest = self._clock() - self._seconds
        while self._images and next(iter(self._images.values()))[0] < oldest:
            self._forget_first()

    def _forget_first(self) -> None:
        _, (_, image) = self._images.popitem(last=False)
        self._bytes -= _size(image)


def _size(image: SentImage) -> int:
    """Returns about how many bytes an image takes; an empty one is not free."""
    return len(image.content) + 1024


def preview(image: SentImage, max_pixels: int) -> tuple[bytes, str]:
    """Returns an image for a browser, small, and its media type; a blank one if it is broken.

    A browser shows only what Isotune has decoded, so it neither meets a hostile file nor needs to
    know the format.
    """
    try:
        pixels = decode_rgb(BytesIO(image.content), image.name, max_pixels)
    except DatasetError:
        pixels = Image.new("RGB", (1, 1), "white")
    pixels.thumbnail((PREVIEW, PREVIEW))
    file = BytesIO()
    if max(pixels.size) <= TINY:
        pixels.save(file, "PNG")
        return file.getvalue(), "image/png"
    pixels.save(file, "JPEG", quality=90)
    return file.getvalue(), "image/jpeg"
