"""Where features lie: found again whole or not at all, within bounds, nothing left unfinished."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from isotune.storage.sealed import HEADER
from isotune.training.features.store import FeatureStore

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
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
    kept(FeatureStore(memory, 10 * SIZE), ONE)
    for bound in (0, SIZE):
        found = FeatureStore(bound, 0).load(ONE, len(VALUES))
        assert found is not None
        np.testing.assert_array_equal(found, VALUES)
    assert FeatureStore(SIZE, 0).load(TWO, len(VALUES)) is None
    assert FeatureStore(SIZE, 0).load(ONE, len(VALUES) + 1) is None
    assert [path.name for path in folder.iterdir()] == [f"{ONE}.features"]


def test_a_file_of_another_entry_is_not_taken_for_features(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(FeatureStore(SIZE, 10 * SIZE), ONE)
    (folder / f"{ONE}.features").rename(folder / f"{TWO}.features")
    assert FeatureStore(SIZE, 0).load(TWO, len(VALUES)) is None
    assert caplog.messages == [
        f"{folder}/{TWO}.features: belongs to another entry of the cache; what was cached there"
        " is computed again."
    ]
    kept(FeatureStore(0, 10 * SIZE), TWO)
    assert FeatureStore(SIZE, 0).load(TWO, len(VALUES)) is not None


def test_who_needs_features_that_another_computes_waits_and_finds_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "isotune.training.features.store")
    found: list[object] = []
    announced = threading.Event()
    caplog.handler.addFilter(lambda record: announced.set() or True)

    def need() -> None:
        store = FeatureStore(SIZE, 10 * SIZE)
        with store.computing(ONE):
            found.append(store.load(ONE, len(VALUES)))

    store, other = FeatureStore(SIZE, 10 * SIZE), threading.Thread(target=need)
    with store.computing(ONE):
        other.start()
        assert announced.wait(60)
        kept(store, ONE)
    other.join()
    np.testing.assert_array_equal(found[0], VALUES)
    assert [path.name for path in folder.iterdir()] == [f"{ONE}.features"]
    assert "another run computes" in caplog.messages[0]


def test_the_least_recently_used_and_the_abandoned_go(folder: Path) -> None:
    store = FeatureStore(10 * SIZE, 2 * (HEADER + SIZE))
    for age, key in ((30, ONE), (20, TWO)):
        kept(store, key)
        modified = (folder / f"{key}.features").stat().st_mtime - age
        os.utime(folder / f"{key}.features", (modified, modified))
    draft, earlier, link, no_file = "tmp0123abcd.part", *(f"{n * 64}.npy" for n in "456")
    (folder / draft).touch()
    (folder / earlier).touch()
    (folder / link).symlink_to("nowhere")
    (folder / no_file).mkdir()
    others = ("tmp3210abcd.part", no_file, "my work.npy", "notes.features", ".spec.yaml.1.ff")
    for name in others[2:]:
        (folder / name).touch()
    for path in folder.glob("*"):
        if path.suffix != ".features" or path.name in others:
            os.utime(path, (0, 0), follow_symlinks=False)
    (folder / others[0]).touch()
    assert store.load(ONE, len(VALUES)) is not None, "and now it is the newest"
    kept(store, THREE)
    left = {path.name for path in folder.iterdir()}
    assert left == {f"{ONE}.features", f"{THREE}.features", *others}


def test_a_draft_that_is_given_up_leaves_nothing(folder: Path) -> None:
    store = FeatureStore(0, SIZE)
    draft = store.draft(SHAPE)
    assert draft is not None
    assert draft.file is not None
    assert draft.file.exists()
    store.discard(draft)
    assert list(folder.iterdir()) == []
    assert store.draft(SHAPE) is None, "its room is taken until the run ends"
