from __future__ import annotations

import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from isotune.data.decode import open_rgb, to_rgb
from isotune.errors import DatasetError


def levels(dtype: str) -> Image.Image:
    return Image.fromarray(np.array([[0, 77, 255], [256, 30000, 65535]], dtype=dtype))


def colors(mode: str) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 7, 4), dtype=np.uint8)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def palette(transparency: Any) -> Image.Image:
    image = colors("RGB").quantize(16)
    image.info["transparency"] = transparency
    return image


IMAGES = {
    "1-bit.png": colors("1"),
    "gray.jpg": colors("L"),
    "gray-alpha.png": colors("LA"),
    "palette.png": colors("P"),
    "palette-one-clear.png": palette(3),
    "palette-alpha.png": palette(bytes(range(0, 160, 10))),
    "rgb.bmp": colors("RGB"),
    "rgba.webp": colors("RGBA"),
    "cmyk.jpg": colors("CMYK"),
    "16-bit.png": levels("uint16"),
    "16-bit-big-endian.tif": levels(">u2"),
    "32-bit.tif": levels("int32"),
    "float.tif": levels("float32"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_every_mode_becomes_rgb_as_pillow_converts_it(name: str, tmp_path: Path) -> None:
    IMAGES[name].save(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = open_rgb(tmp_path / name)
    with warnings.catch_warnings(), Image.open(tmp_path / name) as image:
        warnings.simplefilter("ignore")
        theirs = ImageOps.exif_transpose(image).convert("RGB")
    assert ours.mode == "RGB"
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "I", "I;16B", "F", "HSV", "YCbCr", "LAB"])
def test_rarer_modes_become_rgb_too(mode: str) -> None:
    assert to_rgb(Image.new(mode, (3, 2))).mode == "RGB"


@pytest.mark.parametrize("orientation", range(10))
def test_images_are_set_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    colors("RGB").save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        theirs = ImageOps.exif_transpose(image)
    ours = open_rgb(tmp_path / "a.png")
    assert ours.size == theirs.size
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_leaves_the_image_readable(tmp_path: Path) -> None:
    colors("RGB").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    assert open_rgb(tmp_path / "a.jpg").size == (7, 6)


def broken_files() -> dict[str, bytes]:
    jpeg, png = BytesIO(), BytesIO()
    colors("RGB").resize((64, 64)).save(jpeg, "JPEG")
    colors("RGB").resize((64, 64)).save(png, "PNG")
    flipped = bytearray(png.getvalue())
    flipped[60] ^= 255
    return {
        "truncated.jpg": jpeg.getvalue()[:-40],
        "truncated.png": png.getvalue()[:-40],
        "damaged.png": bytes(flipped),
        "text.jpg": b"this is no image",
        "empty.jpg": b"",
    }


@pytest.mark.parametrize("name", broken_files())
def test_a_broken_file_is_one_error_that_names_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(broken_files()[name])
    with pytest.raises(DatasetError) as error:
        open_rgb(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        open_rgb(tmp_path / "gone.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("limit", [10, 41])  # Pillow itself raises, or only warns
def test_a_decompression_bomb_is_refused(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colors("RGB").save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DatasetError, match="pixels"):
        open_rgb(tmp_path / "a.png")


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return len(content).to_bytes(4, "big") + body + crc32(body).to_bytes(4, "big")


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that says it is that large, and has ten bytes of pixels."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    pixels = chunk(b"IDAT", zlib.compress(bytes(10)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, pixels, chunk(b"IEND", b"")]
    )


def resized(name: str, offset: int, field: bytes, after: bytes = b"") -> bytes:
    """A small image whose header says another size, `offset` bytes behind the end of `after`."""
    file = BytesIO()
    colors("RGB").save(file, name)
    content = bytearray(file.getvalue())
    offset += content.index(after) + len(after)
    content[offset : offset + len(field)] = field
    return bytes(content)


BOMB = zlib.compress(bytes(80 << 20))
LIES = {
    "wide.png": png(1 << 31, 1 << 31),
    "large.png": png(60_000, 60_000),
    "larger-than-its-data.png": png(500, 500),
    "no-size.png": png(0, 5),
    "text-bomb.png": png(1, 3, chunk(b"zTXt", b"a\0\0" + BOMB)),
    "international-text-bomb.png": png(1, 3, chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)),
    "profile-bomb.png": png(1, 3, chunk(b"iCCP", b"a\0\0" + BOMB)),
    "large.bmp": resized("BMP", 18, (1 << 30).to_bytes(4, "little")),
    "larger-than-its-data.bmp": resized("BMP", 18, (700).to_bytes(4, "little") * 2),
    "larger-than-its-data.jpg": resized("JPEG", 3, (6000).to_bytes(2, "big") * 2, b"\xff\xc0"),
    "large.gif": resized("GIF", 6, b"\xff\xff\xff\xff"),
    "large.ppm": b"P6 99999 99999 255 abc",
    "larger-than-its-data.ppm": b"P6 500 500 255 abc",
    "program.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", LIES)
def test_a_header_that_lies_is_one_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(LIES[name])
    with pytest.raises(DatasetError) as error:
        open_rgb(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: cannot be read as an image: ")
    assert "\n" not in str(error.value)
