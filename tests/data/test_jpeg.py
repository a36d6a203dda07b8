"""JPEG files of any kind give the pixels or the error that Pillow gives by itself."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from isotune.data.caches.files import FolderFiles
from isotune.data.decode import decode_rgb, reason
from isotune.errors import DatasetError

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draws a JPEG file, which may be cut off, or have damaged data."""
    mode = draw(st.sampled_from(["RGB", "L", "CMYK"]))
    size = draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    seed = draw(st.integers(0, 2**32 - 1))
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 4), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = draw(st.integers(0, 9))
    options: dict[str, Any] = {"subsampling": draw(st.sampled_from(SUBSAMPLINGS))}
    options["quality"] = draw(st.integers(1, 100))
    options["progressive"] = draw(st.booleans())
    options["restart_marker_blocks"] = draw(st.integers(0, 3))
    file = BytesIO()
    Image.fromarray(pixels, "RGBA").convert(mode).save(file, "JPEG", exif=exif, **options)
    content = bytearray(file.getvalue())
    if draw(st.booleans()):
        del content[draw(st.integers(1, len(content))) :]
    elif draw(st.booleans()):
        content[draw(st.integers(20, len(content) - 1))] ^= draw(st.integers(1, 255))
    return bytes(content)


def by_pillow(content: bytes) -> Any:
    """Returns the pixels or the error of plain Pillow."""
    try:
        with Image.open(BytesIO(content), formats=["JPEG", "MPO"]) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).tolist()
    except Exception as error:
        return reason(error)


@settings(max_examples=100, deadline=None)
@given(files())
def test_pixels_or_errors_are_those_of_pillow(content: bytes) -> None:
    expected = by_pillow(content)
    try:
        found = np.asarray(decode_rgb(BytesIO(content), "it")).tolist()
    except DatasetError as error:
        assert not isinstance(expected, list), str(error)
        if expected.startswith(("image file is truncated", "broken data stream")):
            assert expected in str(error)
    else:
        assert found == expected


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101])
def test_small_files_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("isotune.data.caches.files.IN_MEMORY", 100)
    content = bytes(range(size))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "link").symlink_to("a")
    files = FolderFiles(tmp_path, ["a", "link", "missing", "."])
    for index in (0, 1):
        with files.open(index) as file:
            assert isinstance(file, BytesIO) == (0 < size <= 100)
            assert file.read() == content
    for index in (2, 3):
        with pytest.raises(OSError, match=r"No such file|is not a regular file"):
            files.open(index)
