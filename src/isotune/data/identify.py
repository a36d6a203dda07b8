"""Recognizes image files by their content, and refuses those that would take too much to decode."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cache
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from isotune.spec.dataset import MAX_PIXELS

Factory = Callable[[BinaryIO, str], ImageFile.ImageFile]
"""Opens a file, named for messages, that is in one format."""

FORMATS = (
    *("JPEG", "MPO", "PNG", "BMP", "PPM", "GIF"),
    *("TIFF", "WEBP", "AVIF", "JPEG2000", "DIB"),
)
"""Pillow's formats for photographs. A file's content selects one, not its name. Other formats are
excluded, since Pillow passes some of them to other programs (EPS to Ghostscript)."""

MAX_SIDE = 1 << 20
"""Width and height that an image may have at most. Decoders take time for each row, too."""

_TILES = 1 << 17
"""Number of strips or tiles that a TIFF image may have; Pillow starts a decoder for each."""

_START_OF_SCAN = b"\xff\xda"
"""Marker of JPEG (ITU-T T.81, B.1.1.3); within compressed data, a zero follows 0xff."""

_SCANS = 32
"""Number of scans that any progressive JPEG image may have; libjpeg writes ten."""

_SCANNED = 1 << 31
"""Number of pixels, times scans, that a progressive JPEG image may have in any case. The decoder
takes some nanoseconds for each."""

_HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
"""Brands of HEIF files (ISO/IEC 23008-12); AVIF files may have the last two as well."""

_AVIF_BRANDS = frozenset((b"avif", b"avis"))


def identify(file: BinaryIO, max_pixels: int = MAX_PIXELS) -> ImageFile.ImageFile:
    """Opens an image without decoding it, and refuses possible decompression bombs.

    Unlike ``Image.open`` it neither warns of large images nor depends on Pillow's own, global
    limit.

    Raises:
        Exception: Any error of Pillow, or a ValueError for an empty file, one of too many pixels,
            scans or tiles, and a JPEG file far too short for its size.
    """
    size = file.seek(0, 2)
    if not size:
        raise ValueError("it is empty")
    file.seek(0)
    image = _opened(file, file.read(16))
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise ValueError(
            f"its {image.width} x {image.height} pixels are more than {max_pixels}, the value of"
            " dataset.max_pixels"
        )
    if max(image.size) > MAX_SIDE:
        raise ValueError(f"its side of {max(image.size)} pixels is longer than {MAX_SIDE}")
    if len(image.tile) > _TILES:
        raise ValueError(f"its {len(image.tile)} strips or tiles are more than {_TILES}")
    if image.format in ("JPEG", "MPO"):
        _check_jpeg(file, size, image)
    return image


def _check_jpeg(file: BinaryIO, size: int, image: ImageFile.ImageFile) -> None:
    """Refuses a JPEG file, of `size` bytes, that takes far more time than it should."""
    pixels = image.width * image.height
    if size * 8 < pixels // 64:
        # Decoders silently fill what is missing after an end marker with gray. But a Huffman code
        # takes at least one bit for each block of 8 x 8 pixels.
        raise ValueError(
            f"its header says {image.width} x {image.height} pixels, for which it is too short"
        )
    if image.info.get("progressive"):
        # A scan may have some dozen bytes, and the decoder visits every block for each.
        scans = sum(block.count(_START_OF_SCAN) for block in _blocks(file))
        if scans > max(_SCANS, _SCANNED // pixels):
            raise ValueError(f"its {scans} progressive scans are more than any camera makes")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yields the content of a file, in which no marker of two bytes is divided."""
    file.seek(0)
    while block := file.read(1 << 20):
        yield block + file.read(1) if block.endswith(b"\xff") else block


def _opened(file: BinaryIO, head: bytes) -> ImageFile.ImageFile:
    remark = ""
    for name, factory in _candidates(head):
        file.seek(0)
        try:
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open
            remark = remark or f"it begins like {name}, but: {error}"
    raise UnidentifiedImageError(remark)


def _candidates(head: bytes) -> Iterator[tuple[str, Factory]]:
    """Yields the formats that a file may have, by its first bytes.

    Raises:
        ValueError: Its format needs another package, or a newer Pillow.
    """
    found = False
    for name in _formats():
        if _accepts(name, head):
            yield name, Image.OPEN[name][0]
            found = True
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in _HEIF_BRANDS:
        heif = _heif()
        if heif is None:
            raise ValueError("it is a HEIF image, which needs a package: pip install pillow-heif")
        yield "HEIF", heif
    elif brand in _AVIF_BRANDS and not found:
        raise ValueError("it is an AVIF image, which Pillow reads from version 11.3 on")


def _accepts(name: str, head: bytes) -> bool:
    accepts = Image.OPEN[name][1]
    try:
        accepted = True if accepts is None else accepts(head)
    except (IndexError, struct.error):  # the file has two bytes, say
        return False
    return bool(accepted) and not isinstance(accepted, str)  # a text says what Pillow lacks


@cache
def _formats() -> tuple[str, ...]:
    """Returns the :data:`FORMATS` that this build of Pillow supports."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@cache
def _heif() -> Factory | None:
    """Returns pillow-heif's class of images, or None if it is not installed."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        return None
    factory: Factory = HeifImageFile
    return factory
