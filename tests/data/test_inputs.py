"""An image has the same pixels, or the same kind of error, whichever way it comes."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from isotune.data.inputs import ImageInput, InputSource, is_single
from isotune.errors import DatasetError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
RGB = Image.fromarray(PIXELS)


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


SAVED: dict[str, Callable[[Path], None]] = {
    "rgb.png": RGB.save,
    "turned.jpg": lambda path: RGB.save(path, exif=rotated()),
    "turned.png": lambda path: RGB.save(path, exif=rotated()),
    "palette.gif": lambda path: RGB.quantize(4).save(path, transparency=1),
    "palette.png": lambda path: RGB.quantize(4).save(path, transparency=1),
    "alpha.png": lambda path: RGB.convert("RGBA").save(path),
    "gray.png": lambda path: RGB.convert("L").save(path),
    "bits.png": lambda path: RGB.convert("1").save(path),
    "deep.png": lambda path: Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(path),
    "cmyk.jpg": lambda path: RGB.convert("CMYK").save(path),
    "cmyk.tif": lambda path: RGB.convert("CMYK").save(path),
}


class Pipe(io.BytesIO):
    """A file that cannot seek, such as a response or standard input."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("it cannot seek")


def pixels(*images: ImageInput) -> list[NDArray[np.uint8]]:
    source = InputSource(images, ("a",))
    return [np.asarray(source.load(index)) for index in range(len(source))]


@pytest.mark.parametrize("name", SAVED)
def test_the_way_of_an_image_does_not_change_its_pixels(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    SAVED[name](path)
    content = path.read_bytes()
    read_to_its_end = io.BytesIO(content)
    read_to_its_end.read()
    with path.open("rb") as file:
        first, *others = pixels(
            path,
            str(path),
            Image.open(path),
            content,
            bytearray(content),
            memoryview(content),
            file,
            read_to_its_end,
            Pipe(content),
            tmp_path,
        )
    assert len(others) == 9
    assert all(np.array_equal(first, other) for other in others)


def test_arrays_are_rgb_or_gray() -> None:
    view = np.asfortranarray(PIXELS[::-1])
    gray = PIXELS[..., 1]
    colored, turned, from_gray = pixels(PIXELS, view, gray)
    assert np.array_equal(colored, PIXELS)
    assert np.array_equal(turned, PIXELS[::-1])
    assert np.array_equal(from_gray, np.stack([gray] * 3, axis=-1))


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (PIXELS / 255, "images[1]: is an array of float64 of shape (6, 7, 3), but should be"),
        (PIXELS.transpose(2, 0, 1), "of shape (3, 6, 7), but should be uint8 of shape (H, "),
        (PIXELS[None], "or (H, W); pass a list of the images."),
        (PIXELS[:0], "is an array of shape (0, 7, 3), which is empty."),
        (b"", "images[1]: cannot be read as an image: it is empty."),
        (b"not an image", "images[1]: cannot be read as an image: "),
        (io.StringIO("text"), "images[1]: is open as text; open it in binary mode, 'rb'."),
        (3, "images[1]: is of type int, but an image should be a path, an image of Pillow, an"),
        (None, "images[1]: is of type NoneType"),
        (RGB.convert("F"), "images[1]: cannot be read as an image: its levels are floating-point"),
        (RGB.resize((11, 10)), "images[1]: its 11 x 10 pixels are more than 100, the value of"),
        ("gone.png", "gone.png: there is no such image."),
    ],
)
def test_what_is_no_image_is_a_sentence(image: ImageInput, sentence: str) -> None:
    source = InputSource([RGB, image], ("a",), max_pixels=100)
    assert source.load(0).size == (7, 6)
    with pytest.raises(DatasetError) as caught:
        source.load(1)
    assert sentence in str(caught.value)


def test_a_closed_file_is_a_sentence(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file:
        pass
    lazy = Image.open(tmp_path / "a.png")
    lazy.close()
    for image in (file, lazy):
        with pytest.raises(DatasetError, match=r"a\.png: cannot be read"):
            pixels(image)


def test_threads_share_an_open_file_and_an_image_that_is_not_decoded_yet(tmp_path: Path) -> None:
    big = Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    big.save(tmp_path / "a.png")
    with (tmp_path / "a.png").open("rb") as file, ThreadPoolExecutor(8) as threads:
        source = InputSource([file, Image.open(tmp_path / "a.png")] * 16, ("a",))
        found = list(threads.map(source.load, range(len(source))))
    assert all(image.tobytes() == big.tobytes() for image in found)


def test_what_is_one_image_and_what_is_several(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a[1].png")
    path = tmp_path / "a[1].png"
    for one in (path, str(path), "gone.png", PIXELS, PIXELS[None], b"x", io.BytesIO(), RGB):
        assert is_single(one)
    for several in (tmp_path, str(tmp_path / "*.png"), [], [path], (RGB,), iter([path])):
        assert not is_single(several)
