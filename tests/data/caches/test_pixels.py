from __future__ import annotations

import errno
import logging
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isotune.data.caches import pixels as module
from isotune.data.caches.pixels import PixelStore

SIDES = st.integers(1, 12)


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLAB", 500)


def image(number: int, height: int = 4, width: int = 5) -> NDArray[np.uint8]:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.lists(st.tuples(SIDES, SIDES), max_size=30), st.integers(0, 3000), st.integers(0, 3000))
def test_what_is_kept_is_what_was_put_and_within_the_bounds(
    sides: list[tuple[int, int]], memory: int, disk: int
) -> None:
    store = PixelStore(len(sides), memory, disk)
    given = [image(number, *shape) for number, shape in enumerate(sides)]
    for number, pixels in enumerate(given):
        assert store.get(number) is None
        store.put(number, pixels)
    kept = [store.get(number) for number in range(len(given))]
    for found, pixels in zip(kept, given, strict=True):
        if found is not None:
            np.testing.assert_array_equal(found, pixels)
            assert not found.flags.writeable
    assert sum(pixels.nbytes for pixels in kept if pixels is not None) <= memory + disk
    if sum(pixels.nbytes for pixels in given) <= min(memory, module.SLAB):
        assert all(pixels is not None for pixels in kept)
    store.close()
    for number, pixels in enumerate(given):
        store.put(number, pixels)
        assert store.get(number) is None


def test_memory_is_filled_first_and_then_the_file(home: Path) -> None:
    store = PixelStore(10, 120, 180)
    for number in range(10):
        store.put(number, image(number))
        assert (home / "cache").exists() == (number >= 2)
    assert [store.get(number) is not None for number in range(10)] == [True] * 5 + [False] * 5


def test_the_file_has_no_name_that_could_stay_behind(home: Path) -> None:
    store = PixelStore(3, 0, 10_000)
    store.put(0, image(0))
    assert list((home / "cache").iterdir()) == []
    assert store.get(0) is not None


def test_a_image_larger_than_what_is_asked_for_at_a_time_is_kept() -> None:
    for bounds in ((2000, 0), (0, 2000)):
        store = PixelStore(2, *bounds)
        store.put(0, image(0, 20, 20))
        np.testing.assert_array_equal(store.get(0), image(0, 20, 20))  # type: ignore[arg-type]


def test_a_home_that_cannot_be_written_is_done_without(home: Path) -> None:
    home.write_text("a file, where no folder can be made")
    store = PixelStore(1, 0, 1000)
    store.put(0, image(0))
    np.testing.assert_array_equal(store.get(0), image(0))  # type: ignore[arg-type]


def test_a_full_disk_ends_the_keeping_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class FullFile(FileIO):
        def write(self, data: object) -> int:
            if self.tell() < 120:
                return super().write(data[:7])  # type: ignore[index]
            raise OSError(errno.ENOSPC, "No space left on device")

    def full_file(**_: object) -> FileIO:
        with original(buffering=0) as file:
            return FullFile(os.dup(file.fileno()), "r+b")

    original = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", full_file)
    store = PixelStore(6, 60, 10_000)
    with caplog.at_level(logging.WARNING):
        for number in range(6):
            store.put(number, image(number))
    assert caplog.text.count("No space left on device") == 1
    assert [store.get(number) is not None for number in range(6)] == [True] * 3 + [False] * 3
    for number in range(3):
        np.testing.assert_array_equal(store.get(number), image(number))  # type: ignore[arg-type]


def test_what_has_changed_on_disk_is_not_taken_for_an_image(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = PixelStore(3, 60, 1000)
    for number in range(3):
        store.put(number, image(number))
    assert store._file is not None
    os.pwrite(store._file.fileno(), b"\0\1\2\3" * 30, 0)
    assert store.get(1) is None
    assert store.get(2) is None
    assert [record.message for record in caplog.records] == [
        "decoded images cached on disk have changed there; they are decoded again."
    ]
    for number in range(3):
        store.put(number, image(number))
        np.testing.assert_array_equal(store.get(number), image(number))  # type: ignore[arg-type]


def test_threads_may_put_and_get_at_once() -> None:
    store = PixelStore(200, 3000, 6000)

    def visit(turn: int) -> int:
        number = turn * 7 % 200
        found = store.get(number)
        if found is None:
            store.put(number, image(number))
            return 0
        np.testing.assert_array_equal(found, image(number))
        return 1

    with ThreadPoolExecutor(8) as executor:
        assert sum(executor.map(visit, range(2000))) >= 9 * 100
