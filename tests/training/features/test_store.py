"""Where features lie: found again whole or not at all, within bounds, nothing left unfinished."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from isotune.storage.sealed import HEADER
from isotune.training.features.store import FeatureStore

SHAPE = (6, 8)
SIZE = 6 * 8 * 4
VALUES = np.arange(48, dtype=np.float32).reshape(SHAPE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path))
    return tmp_path / "cache" / "features"


def kept(store: FeatureStore, key: str) -> None:
    draft = store.draft(SHAPE)
    assert draft is not None
    draft.rows[:] = VALUES
    np.testing.assert_array_equal(store.keep(draft, key), VALUES)


@pytest.mark.parametrize("memory", [0, SIZE])
def test_what_was_kept_is_found_by_its_key_alone(folder: Path, memory: int) -> None:
    kept(FeatureStore(memory, 10 * SIZE), "one")
    for bound in (0, SIZE):
        found = FeatureStore(bound, 0).load("one", len(VALUES))
        assert found is not None
        np.testing.assert_array_equal(found, VALUES)
    assert FeatureStore(SIZE, 0).load("two", len(VALUES)) is None
    assert FeatureStore(SIZE, 0).load("one", len(VALUES) + 1) is None
    assert [path.name for path in folder.iterdir()] == ["one.features"]


def test_a_file_of_another_entry_is_not_taken_for_features(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(FeatureStore(SIZE, 10 * SIZE), "one")
    (folder / "one.features").rename(folder / "two.features")
    assert FeatureStore(SIZE, 0).load("two", len(VALUES)) is None
    assert caplog.messages == [
        f"{folder / 'two.features'}: belongs to another entry of the cache; what was cached there"
        " is computed again."
    ]
    kept(FeatureStore(0, 10 * SIZE), "two")
    assert FeatureStore(SIZE, 0).load("two", len(VALUES)) is not None


def test_the_least_recently_used_and_the_abandoned_go(folder: Path) -> None:
    store = FeatureStore(10 * SIZE, 2 * (HEADER + SIZE))
    for age, key in ((30, "one"), (20, "two")):
        kept(store, key)
        modified = (folder / f"{key}.features").stat().st_mtime - age
        os.utime(folder / f"{key}.features", (modified, modified))
    (folder / "old.part").touch()
    os.utime(folder / "old.part", (0, 0))
    (folder / "new.part").touch()
    (folder / "of an earlier version.npy").touch()
    (folder / "broken link.npy").symlink_to("nowhere")
    (folder / "no file.npy").mkdir()
    for name in ("of an earlier version.npy", "no file.npy"):
        os.utime(folder / name, (0, 0))
    os.utime(folder / "broken link.npy", (0, 0), follow_symlinks=False)
    assert store.load("one", len(VALUES)) is not None, "and now it is the newest"
    kept(store, "three")
    assert {path.name for path in folder.iterdir()} == {
        "one.features",
        "three.features",
        "new.part",
        "no file.npy",
    }


def test_a_draft_that_is_given_up_leaves_nothing(folder: Path) -> None:
    store = FeatureStore(0, SIZE)
    draft = store.draft(SHAPE)
    assert draft is not None
    assert draft.file is not None
    assert draft.file.exists()
    store.discard(draft)
    assert list(folder.iterdir()) == []
    assert store.draft(SHAPE) is None, "its room is taken until the run ends"
