"""Decodes files to upright RGB images."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from isotune.errors import DatasetError

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


FORMATS = (
    "JPEG",
    "MPO",
    "PNG",
    "BMP",
    "PPM",
    "GIF",
    "TIFF",
    "WEBP",
    "AVIF",
    "JPEG2000",
    "DIB",
)
"""Pillow's formats for photographs. A file's content selects one, not its name. Other formats are
excluded, since Pillow passes some of them to other programs (EPS to Ghostscript)."""


def open_rgb(path: Path) -> Image.Image:
    """Decodes an image file to RGB, upright.

    Raises:
        DatasetError: the file is missing, broken, truncated or suspiciously large. The message
            names the path.
    """
    try:
        with open_checked(path) as image:
            return to_rgb(image)
    except Exception as error:  # decoders raise errors of any type
        raise DatasetError(f"{path}: cannot be read as an image: {reason(error)}.") from error


def open_checked(path: Path) -> Image.Image:
    """Opens an image file without decoding it, and refuses possible decompression bombs.

    Raises:
        Exception: any error of Pillow, or a ValueError for a JPEG file far too short for its size.
    """
    image = Image.open(path, formats=_formats())
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        image.close()
        # Pillow only warns up to twice its limit.
        raise Image.DecompressionBombError(
            f"{image.width} x {image.height} pixels are more than Pillow's limit of {limit}"
        )
    blocks = image.width * image.height // 64
    if image.format in ("JPEG", "MPO") and path.stat().st_size * 8 < blocks:
        # Decoders silently fill what is missing after an end marker with gray. But a Huffman code
        # takes at least one bit for each block of 8 x 8 pixels.
        image.close()
        raise ValueError(
            f"its header says {image.width} x {image.height} pixels, for which it is too short"
        )
    return image


@cache
def _formats() -> tuple[str, ...]:
    """Returns the :data:`FORMATS` that this build of Pillow supports."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def reason(error: Exception) -> str:
    """Returns an error's message in one line and without the path, or the name of its type."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of any known format"
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__


def to_rgb(image: Image.Image) -> Image.Image:
    """Returns an image of any mode upright and in RGB.

    The pixels equal those of ``ImageOps.exif_transpose`` followed by ``Image.convert("RGB")``: an
    alpha channel is dropped, levels above 255 (16-bit and 32-bit grayscale) become 255.

    Raises:
        Exception: any error that Pillow raises while it decodes.
    """
    image.load()
    method = _UPRIGHT.get(_orientation(image))
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


def _orientation(image: Image.Image) -> int:
    # A damaged EXIF block does not make an image unreadable.
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return 1
