"""Decodes files to upright RGB images of 8 bits."""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from isotune.data.identify import identify
from isotune.data.workers import Room
from isotune.errors import DatasetError
from isotune.spec.dataset import MAX_PIXELS
from isotune.storage.untrusted import open_regular

log = logging.getLogger(__name__)

FULL_SIZE = 89_478_485
"""Number of pixels above which a JPEG image is decoded at a fraction of its size. Pillow warns
from here on, and Isotune used to refuse such images."""

RULES = 2
"""Version of what this module makes of a file."""

ROOM = Room(2 << 30, 128 << 20)
"""Limits the bytes that threads decode into at the same time."""

_BYTES = {"JPEG2000": 36, "AVIF": 20, "WEBP": 16, "GIF": 12}
"""Number of bytes that decoding takes for each pixel, as measured with Pillow 13; in other formats
8, of which the image itself has 4, and the image turned upright as many."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Transposition that turns an image upright, by EXIF orientation (EXIF 2.32, tag 0x0112)."""

_TURNED = (5, 6, 7, 8)
"""EXIF orientations in which width and height change places."""


def open_rgb(path: Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image file to RGB, upright.

    Args:
        path: The file.
        max_pixels: Largest number of pixels that is decoded.

    Raises:
        DatasetError: The file is missing, broken, truncated or too large. The message names the
            path.
    """
    try:
        with open_regular(path, follow=True) as file:
            return decode_rgb(file, str(path), max_pixels)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read as an image: {reason(error)}.") from error


def decode_rgb(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes the image in an open file to RGB, upright.

    A file of several images gives its first one. A JPEG image of more than :data:`FULL_SIZE`
    pixels is decoded at a half, a quarter or an eighth of its width and height, so that at most
    as many are left.

    Args:
        file: The file, which can seek.
        name: What messages call it.
        max_pixels: Largest number of pixels that is decoded.

    Raises:
        DatasetError: It is no image, broken, truncated or too large.
    """
    try:
        with identify(file, max_pixels) as image, ROOM.taken(footprint(image)):
            if image.format in ("JPEG", "MPO"):
                _reduce(image)
            return to_rgb(image, name)
    except Exception as error:  # decoders raise errors of any type
        raise DatasetError(f"{name}: cannot be read as an image: {reason(error)}.") from error


def decode_preview(
    file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS, *, side: int
) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes all of an image like :func:`decode_rgb`, but a JPEG image into fewer pixels.

    Args:
        file: The file, which can seek.
        name: What messages call it.
        max_pixels: Largest number of pixels that is decoded.
        side: Width and height that the image still has at least, unless the file has less.

    Returns:
        The image and the file's width and height, both upright.

    Raises:
        DatasetError: It is no image, broken, truncated or too large.
    """
    try:
        with identify(file, max_pixels) as image, ROOM.taken(footprint(image)):
            width, height = image.size
            if image.format in ("JPEG", "MPO"):
                image.draft(None, (min(side, width), min(side, height)))
            decoded = to_rgb(image, name)
            turned = _orientation(image, name) in _TURNED
            return decoded, (height, width) if turned else (width, height)
    except Exception as error:  # decoders raise errors of any type
        raise DatasetError(f"{name}: cannot be read as an image: {reason(error)}.") from error


def footprint(image: Image.Image) -> int:
    """Returns about how many bytes it takes to decode an image."""
    return image.width * image.height * _BYTES.get(image.format or "", 8)


def _reduce(image: ImageFile.ImageFile) -> None:
    for divisor in (1, 2, 4, 8):
        if image.width * image.height <= FULL_SIZE * divisor**2:
            break
    if divisor > 1:
        image.draft(None, (image.width // divisor, image.height // divisor))


def reason(error: Exception) -> str:
    """Returns an error's message in one line and without the path, or the name of its type."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, UnidentifiedImageError):
        return text or "it is not an image of any known format"
    return text or type(error).__name__


def to_rgb(image: Image.Image, name: str = "an image") -> Image.Image:
    """Returns an image of any mode upright and in RGB.

    The pixels equal those of ``ImageOps.exif_transpose`` followed by ``Image.convert("RGB")``: an
    alpha channel is dropped. But grayscale of 16 bits keeps its upper 8, as in MindSpore's
    ``Decode`` and torchvision's ``to_dtype(scale=True)``, where Pillow makes all levels above 255
    white.

    Args:
        image: An image of Pillow, decoded or not.
        name: What the log calls it.

    Raises:
        ValueError: Its levels are integers of 32 bits or floating-point numbers, for which no
            level is defined to be white.
        Exception: Any error that Pillow raises while it decodes.
    """
    image.load()
    method = _UPRIGHT.get(_orientation(image, name))
    image = _eight_bits(image)
    if method is not None:
        image = image.transpose(method)
    if image.mode == "RGB":
        return image
    if "transparency" in image.info:
        # It does not affect RGB pixels, but Pillow would warn that it cannot convert it.
        image = image.copy()
        del image.info["transparency"]
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Returns grayscale of up to 16 bits with 8 bits, and other images unchanged."""
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM", "JPEG2000")):
        kind = "floating-point numbers" if image.mode == "F" else "integers of 32 bits or signed"
        raise ValueError(
            f"its levels are {kind}, so that none is defined to be white; save it with 8 or 16 bits"
        )
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    tags = getattr(image, "tag_v2", {})
    bits = 12 if tags.get(_BITS_PER_SAMPLE) == (12,) else 16
    levels: NDArray[np.uint8] = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    if image.format == "TIFF" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        levels = ~levels  # Pillow does so for 8 bits only
    return Image.fromarray(levels)


_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
"""Tags of TIFF 6.0, and a value of the second one."""


def _orientation(image: Image.Image, name: str) -> int:
    # A damaged EXIF block does not make an image unreadable.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        if orientation is not None:
            return int(orientation)
        damaged = _is_damaged(image.info.get("exif", b""))
    except Exception:
        damaged = True
    if damaged and name not in DAMAGED and len(DAMAGED) < _NAMED:
        DAMAGED.add(name)  # training decodes it again in every epoch
        log.warning("%s: its EXIF block is damaged, so the image may not be upright", name)
    return 1


DAMAGED: set[str] = set()
"""Images whose EXIF block was found to be damaged, which was said."""
_NAMED = 20
"""Number of images with a damaged EXIF block that are named."""


def _is_damaged(exif: bytes) -> bool:
    """Whether an EXIF block (EXIF 2.32) is cut off within its first directory, or has none."""
    if not exif:
        return False
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    (start,) = struct.unpack_from(f"{order}L", exif, 4)
    (entries,) = struct.unpack_from(f"{order}H", exif, start)
    return len(exif) < int(start) + 2 + 12 * int(entries)
