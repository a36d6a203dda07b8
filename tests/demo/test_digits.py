from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isotune.demo import digits
from isotune.errors import DatasetError

load_digits = pytest.importorskip("sklearn.datasets").load_digits


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_digits_are_written_once_whole_and_stratified(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = digits.digits_folder()
    splits = {split: sorted((folder / split).rglob("*.png")) for split in ("train", "val")}
    assert {split: len(paths) for split, paths in splits.items()} == {"train": 800, "val": 300}
    original = load_digits()
    for paths in splits.values():
        counts = Counter(path.parent.name for path in paths)
        for label, total in Counter(map(str, original.target)).items():
            assert abs(counts[label] - total * len(paths) / 1797) <= 1
    numbers = [path.name for paths in splits.values() for path in paths]
    assert len(set(numbers)) == 1100  # no image is in both

    path = splits["val"][0]
    with Image.open(path) as image:
        assert (
            np.asarray(image).tolist()
            == np.round(original.images[int(path.stem)] * 255 / 16).tolist()
        )
    assert path.parent.name == str(original.target[int(path.stem)])
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    monkeypatch.setattr(digits, "_load", lambda: pytest.fail("they are there already"))
    assert digits.digits_folder() == folder


def test_a_write_that_fails_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch):
    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(digits, "_write", full_disk)
    with pytest.raises(DatasetError, match="No space left on device; set ISOTUNE_HOME"):
        digits.digits_folder()
    assert list((home / "datasets").iterdir()) == []


def test_a_home_that_cannot_be_written_is_told(home: Path):
    home.write_text("a file where a folder should be")
    with pytest.raises(DatasetError, match="set ISOTUNE_HOME to a folder"):
        digits.digits_folder()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_splits_share_nothing_and_keep_each_classs_share(labels: list[int], data: st.DataObject):
    first = data.draw(st.integers(0, len(labels)))
    second = data.draw(st.integers(0, len(labels) - first))
    parts = digits.stratified(np.array(labels), (first, second))
    assert [len(part) for part in parts] == [first, second]
    chosen = np.concatenate(parts)
    assert len(set(chosen.tolist())) == len(chosen)
    for label, total in Counter(labels).items():
        inside = sum(labels[position] == label for position in parts[0])
        assert abs(inside - total * first / len(labels)) <= 1.5
