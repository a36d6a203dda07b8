"""Decoded images that several processes of a machine share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isotune.data.caches.pixels import PLACE
from isotune.data.caches.shared_pixels import SharedPixelStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path))
    return tmp_path


def image(number: int) -> np.ndarray:
    return np.full((4, 5, 3), number, np.uint8)


def test_processes_find_each_others_images_and_leave_no_file(home: Path) -> None:
    stores = [SharedPixelStore(10, 3 * 60) for _ in range(2)]
    stores[0].put(0, image(0))
    assert stores[0].get(0) is None, "nothing is stored before they have met"
    names = [store.offer() for store in stores]
    for store, other in zip(stores, reversed(names), strict=True):
        assert other is not None
        store.join([other, home / "of another machine"])
    for store in stores:
        store.hide()
    assert not [path for path in home.rglob("*") if path.is_file()]
    for number in range(5):
        stores[0].put(number, image(number))
    stores[1].put(7, image(7))
    for store in stores:
        for number in (0, 1, 2, 7):
            np.testing.assert_array_equal(store.get(number), image(number))
        assert [store.get(number) for number in (3, 4, 9)] == [None] * 3, "there is no room"
    stores[0].close()
    assert stores[0].get(0) is None
    np.testing.assert_array_equal(stores[1].get(0), image(0))


@pytest.mark.parametrize(
    "entry",
    [(1, 4, 5, 240, 1), (1, 4, 5, -60, 0), (1, 4000, 5000, 240, 0), (1, -4, -5, 240, 0)],
    ids=["other bytes", "before the file", "after it", "negative"],
)
def test_what_is_half_written_counts_as_missing(home: Path, entry: tuple[int, ...]) -> None:
    store, other = SharedPixelStore(10, 120), SharedPixelStore(10, 120)
    name = other.offer()
    assert name is not None
    with name.open("r+b") as file:
        file.seek(3 * PLACE.itemsize)
        file.write(np.array(entry, PLACE).tobytes())
    store.offer()
    store.join([name])
    assert store.get(3) is None
    for each in (store, other):
        each.close()
