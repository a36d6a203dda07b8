"""Damaged files read as before or are refused: one sentence, little memory, nothing else."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotune.errors import WeightsError
from isotune.weights.formats.pth.read import read_pth
from isotune.weights.formats.pth.tensors import COPIES_FLOOR

torch = pytest.importorskip("torch")


def save(is_zip: bool) -> bytes:
    content = {
        "w": torch.arange(6.0).reshape(2, 3).T,
        "n": torch.tensor(5),
        "h": torch.ones(3, dtype=torch.bfloat16),
    }
    buffer = io.BytesIO()
    torch.save({"state_dict": content}, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def originals() -> dict[bool, bytes]:
    return {is_zip: save(is_zip) for is_zip in (True, False)}


def read_or_refuse(path: Path) -> dict[str, Any] | None:
    tracemalloc.start()
    try:
        return read_pth(path)
    except WeightsError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * COPIES_FLOOR


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, strict=True)


fuzzed = settings(max_examples=250)


@fuzzed
@given(data=st.data())
@pytest.mark.parametrize("is_zip", [True, False])
def test_truncated_files_are_refused(
    tmp_path: Path, originals: dict[bool, bytes], is_zip: bool, data: st.DataObject
) -> None:
    original = originals[is_zip]
    path = tmp_path / "a.pth"
    path.write_bytes(original[: data.draw(st.integers(0, len(original) - 1))])
    assert read_or_refuse(path) is None


def flipped(original: bytes, draw: Callable[..., Any]) -> bytes:
    changed = bytearray(original)
    for position in draw(st.lists(st.integers(0, len(original) - 1), min_size=1, max_size=3)):
        changed[position] = draw(st.integers(0, 255))
    return bytes(changed)


@fuzzed
@given(data=st.data())
def test_flipped_bytes_of_a_zip_are_noticed_where_they_matter(
    tmp_path: Path, originals: dict[bool, bytes], data: st.DataObject
) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(originals[True])
    expected = read_pth(path)
    path.write_bytes(flipped(originals[True], data.draw))
    found = read_or_refuse(path)
    if found is not None:
        assert_equal(found, expected)


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(data=st.data())
def test_flipped_bytes_of_a_legacy_file_read_as_torch_reads_them(
    tmp_path: Path, originals: dict[bool, bytes], data: st.DataObject
) -> None:
    """The older format has no checksums: a changed weight is a weight."""
    path = tmp_path / "a.pth"
    path.write_bytes(flipped(originals[False], data.draw))
    found = read_or_refuse(path)
    if found is None:
        return
    try:
        theirs = torch.load(path, weights_only=True)
    except Exception:
        return
    # The outer key may have changed, too.
    theirs = theirs.get("state_dict") or {
        f"{outer}.{key}": value for outer, inner in theirs.items() for key, value in inner.items()
    }
    assert_equal(
        found,
        {
            key: value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
            for key, value in theirs.items()
        },
    )
