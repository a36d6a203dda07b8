from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from isotune.data.decode import open_rgb, to_rgb
from isotune.errors import DatasetError


def levels(dtype: str) -> Image.Image:
    return Image.fromarray(np.array([[0, 77, 255], [256, 30000, 65535]], dtype=dtype))


def colours(mode: str) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 7, 4), dtype=np.uint8)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def palette(transparency: Any) -> Image.Image:
    image = colours("RGB").quantize(16)
    image.info["transparency"] = transparency
    return image


PICTURES = {
    "1-bit.png": colours("1"),
    "grey.jpg": colours("L"),
    "grey-alpha.png": colours("LA"),
    "palette.png": colours("P"),
    "palette-one-clear.png": palette(3),
    "palette-alpha.png": palette(bytes(range(0, 160, 10))),
    "rgb.bmp": colours("RGB"),
    "rgba.webp": colours("RGBA"),
    "cmyk.jpg": colours("CMYK"),
    "16-bit.png": levels("uint16"),
    "16-bit-big-endian.tif": levels(">u2"),
    "32-bit.tif": levels("int32"),
    "float.tif": levels("float32"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_mode_becomes_rgb_as_pillow_converts_it(name: str, tmp_path: Path) -> None:
    PICTURES[name].save(tmp_path / name)
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
def test_pictures_are_set_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    colours("RGB").save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        theirs = ImageOps.exif_transpose(image)
    ours = open_rgb(tmp_path / "a.png")
    assert ours.size == theirs.size
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_exif_block_leaves_the_picture_readable(tmp_path: Path) -> None:
    colours("RGB").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    assert open_rgb(tmp_path / "a.jpg").size == (7, 6)


def broken_files() -> dict[str, bytes]:
    jpeg, png = BytesIO(), BytesIO()
    colours("RGB").resize((64, 64)).save(jpeg, "JPEG")
    colours("RGB").resize((64, 64)).save(png, "PNG")
    flipped = bytearray(png.getvalue())
    flipped[60] ^= 255
    return {
        "truncated.jpg": jpeg.getvalue()[:-40],
        "truncated.png": png.getvalue()[:-40],
        "damaged.png": bytes(flipped),
        "text.jpg": b"this is no picture",
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
    colours("RGB").save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DatasetError, match="pixels"):
        open_rgb(tmp_path / "a.png")
