"""Cache files: the array that was written, or one line about what stands there instead."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isotune.storage.sealed import HEADER, open_sealed, write_sealed

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


def written(values: np.ndarray = VALUES, key: str = "a") -> bytes:
    file = io.BytesIO()
    write_sealed(file, key, values)
    return file.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entry"


@pytest.mark.parametrize("shape", [(0,), (5, 0), (7,), (2, 3, 4)])
def test_what_was_written_is_found(path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    path.write_bytes(written(values))
    found = open_sealed(path, "a", np.float32)
    assert found is not None
    np.testing.assert_array_equal(found, values)
    assert found.shape == shape


def test_a_missing_file_is_no_news(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert open_sealed(path, "a", np.float32) is None
    assert caplog.messages == []


@given(st.integers(0, HEADER + VALUES.nbytes - 1), st.integers(1, 255))
def test_no_byte_can_change_unnoticed(path: Path, place: int, flipped: int) -> None:
    data = bytearray(written())
    data[place] ^= flipped
    path.write_bytes(data)
    found = open_sealed(path, "a", np.float32)
    # Spaces that pad the header may become other whitespace.
    assert found is None or (place < HEADER and np.array_equal(found, VALUES))


@given(st.binary(max_size=300) | st.integers(0, HEADER + VALUES.nbytes - 1))
def test_no_other_content_is_taken_for_the_array(path: Path, content: bytes | int) -> None:
    path.write_bytes(written()[:content] if isinstance(content, int) else content)
    assert open_sealed(path, "a", np.float32) is None


@pytest.mark.parametrize(
    "change",
    [
        {'"shape":[3,4]': '"shape":[4,3]', '"key":"a"': '"key":"b"'},
        {'"shape":[3,4]': '"shape":[3,-4]'},
        {'"shape":[3,4]': '"shape":[3,99999999999999999999]'},
        {'"shape":[3,4]': '"shape":[' + "1," * 40 + "12]"},
        {'"dtype":"<f4"': '"dtype":"<i4"'},
        {'"dtype":"<f4"': '"dtype":"|O"'},
        {"cache-1": "cache-9"},
    ],
)
def test_a_header_is_checked(
    path: Path, change: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    header, data = written()[:HEADER].rstrip().decode(), written()[HEADER:]
    for old, new in change.items():
        assert old in header
        header = header.replace(old, new)
    path.write_bytes(header.encode().ljust(HEADER) + data)
    assert open_sealed(path, "a", np.float32) is None
    assert len(caplog.messages) == 1


def test_neither_a_pipe_nor_a_link_nor_a_folder_is_opened(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.write_bytes(written())
    path.symlink_to(elsewhere)
    assert open_sealed(path, "a", np.float32) is None
    path.unlink()
    os.mkfifo(path)
    assert open_sealed(path, "a", np.float32) is None
    path.unlink()
    path.mkdir()
    assert open_sealed(path, "a", np.float32) is None
    assert len(caplog.messages) == 3
    assert "link" in caplog.messages[0]
