"""Checkpoints on disk: whole or not there, the best and the newest, damage found and named."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotune.errors import RunError
from isotune.runs.checkpoint import Checkpoint, check_checkpoint
from isotune.runs.checkpoint_index import Index
from isotune.runs.checkpoints import CheckpointStore
from made_runs import made_manifest, save


def checkpoint(value: int, within: bool = False) -> Checkpoint:
    return Checkpoint(
        model={"fc.weight": np.full((2, 3), value, np.float32)},
        optimizer={"fc.weight/step": np.array(value, np.float32)},
        manifest=made_manifest(value, within, weights="average"),
        average={"fc.weight": np.full((2, 3), -value, np.float32)},
    )


def values(store: CheckpointStore) -> tuple[int, int]:
    """Returns which checkpoints are the best and the last, after reading both."""
    best, last = store.load("best"), store.load("last")
    for found in (best, last):
        assert found.model["fc.weight"].tolist() == [[found.manifest.step] * 3] * 2
        assert found.optimizer["fc.weight/step"] == found.manifest.step
        assert found.weights["fc.weight"].tolist() == [[-found.manifest.step] * 3] * 2
    return best.manifest.step, last.manifest.step


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A store with epoch 1 the best and epoch 2 the last."""
    store = CheckpointStore(tmp_path)
    save(store, checkpoint(1), keep=1, best=True)
    save(store, checkpoint(2), keep=1, best=False)
    return store


def folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_best_and_last_are_kept(store: CheckpointStore, tmp_path: Path) -> None:
    assert values(store) == (1, 2)
    save(store, checkpoint(3), keep=1, best=False)
    assert values(store) == (1, 3)
    assert folders(tmp_path) == ["epoch-0001", "epoch-0003", "index.json"]
    save(store, checkpoint(4), keep=1, best=True)
    assert values(store) == (4, 4)
    assert folders(tmp_path) == ["epoch-0004", "index.json"]
    assert json.loads((tmp_path / "index.json").read_text()) == {
        "best": "epoch-0004",
        "kept": ["epoch-0004"],
    }


def test_the_newest_are_kept_beside_the_best(store: CheckpointStore, tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(store, checkpoint(step, within=True), keep=2)
    steps = ["step-00000020", "step-00000030"]
    assert folders(tmp_path) == ["epoch-0001", "index.json", *steps]
    assert values(store) == (1, 30)
    assert store.load(steps[0]).manifest.step == 20
    with pytest.raises(
        RunError, match=r"no checkpoint 'step-10'.*best \(epoch-0001\), last \(step-00000030\)"
    ):
        store.load("step-10")
    save(store, checkpoint(40), keep=1, best=True)
    assert folders(tmp_path) == ["epoch-0040", "index.json"]


def test_newer_ones_are_forgotten_the_best_too(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for step in (10, 20, 30):
        save(store, checkpoint(step, within=True), keep=3, best=step == 20)
    store.forget_after("step-00000020")
    assert store.index() == Index("step-00000020", ("step-00000010", "step-00000020"))
    store.forget_after("step-00000010")
    assert store.index() == Index(None, ("step-00000010",))
    assert folders(tmp_path) == ["index.json", "step-00000010"]


def test_an_older_one_goes_only_when_the_newer_is_whole(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    save(store, checkpoint(1, within=True), keep=1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = FullDisk(monkeypatch, fails_at=0)
        save(store, checkpoint(1, within=True), keep=1)
    for fails_at in range(1, disk.calls + 1):
        with pytest.MonkeyPatch.context() as monkeypatch:
            FullDisk(monkeypatch, fails_at)
            with pytest.raises(RunError, match="step-00000002: cannot be written"):
                save(store, checkpoint(2, within=True), keep=1)
        assert store.load("step-00000001").manifest.step == 1


def test_scalars_dtypes_and_layouts_survive(tmp_path: Path) -> None:
    state = {
        "step": np.array(7, np.float32),
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "empty": np.zeros((0, 4), np.float32),
        "counts": np.arange(3),
    }
    store = CheckpointStore(tmp_path)
    save(store, Checkpoint(state, {}, made_manifest(1)), keep=1, best=True)
    found = store.load("best").model
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        assert np.array_equal(found[name], value), name


class FullDisk:
    """Fails the n-th call of anything that writes; counts all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
        self.calls, self.fails_at = 0, fails_at
        for place, name in (
            (os, "fsync"),
            (Path, "mkdir"),
            (Path, "open"),
            (Path, "replace"),
        ):
            monkeypatch.setattr(place, name, self.failing(getattr(place, name)))

    def failing(self, function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if options.get("mode") == "r":  # Path.open for Path.read_text
                return function(*arguments, **options)
            self.calls += 1
            if self.calls == self.fails_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*arguments, **options)

        return call


def test_a_failure_at_any_write_leaves_the_state_before(
    store: CheckpointStore, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        disk = FullDisk(monkeypatch, fails_at=0)
        save(store, checkpoint(3), keep=1, best=True)
    writes = disk.calls
    assert writes > 8

    for fails_at in range(1, writes + 1):
        save(store, checkpoint(4), keep=1, best=True)
        with pytest.MonkeyPatch.context() as monkeypatch:
            FullDisk(monkeypatch, fails_at)
            with pytest.raises(RunError, match=r"epoch-0005: cannot be written: No space left"):
                save(store, checkpoint(5), keep=1, best=True)
        assert values(store) == (4, 4)
        assert not [name for name in folders(tmp_path) if name.startswith(".")]


def test_a_kill_between_the_writes_leaves_the_state_before(
    store: CheckpointStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isotune.runs.checkpoints.write_atomically", die)
    with pytest.raises(KeyboardInterrupt):
        save(store, checkpoint(3), keep=1, best=True)
    monkeypatch.undo()
    assert values(store) == (1, 2)
    save(store, checkpoint(3), keep=1, best=True)
    assert values(store) == (3, 3)
    assert folders(tmp_path) == ["epoch-0003", "index.json"]


FILES = ["checkpoint.json", "model.safetensors", "optimizer.safetensors", "average.safetensors"]


@settings(max_examples=60)
@given(
    name=st.sampled_from(FILES), position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7)
)
def test_a_flipped_bit_is_found_and_the_file_named(
    store: CheckpointStore, tmp_path: Path, name: str, position: float, bit: int
) -> None:
    file = tmp_path / "epoch-0001" / name
    intact = file.read_bytes()
    damaged = bytearray(intact)
    damaged[int(position * len(damaged))] ^= 1 << bit
    file.write_bytes(damaged)
    try:
        found = store.load("best")
    except RunError as error:
        assert f"epoch-0001/{name}: " in str(error)
        with pytest.raises(RunError, match=f"epoch-0001/{name}: "):
            check_checkpoint(tmp_path / "epoch-0001")
    else:
        assert name == "checkpoint.json"  # only white space can change without a meaning
        assert json.loads(bytes(damaged)) == json.loads(intact)
        assert found.manifest.step == 1
    finally:
        file.write_bytes(intact)
    assert values(store) == (1, 2)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(store: CheckpointStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "epoch-0002" / name).unlink()
    with pytest.raises(RunError, match=f"epoch-0002/{name}: "):
        store.load("last")


def test_a_manifest_that_lies_about_shapes(store: CheckpointStore, tmp_path: Path) -> None:
    path = tmp_path / "epoch-0002/checkpoint.json"
    manifest = json.loads(path.read_text())
    manifest["tensors"]["model.safetensors"]["fc.weight"] = [3, 2]
    del manifest["sha256"]["checkpoint.json"]
    honest_hash = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    manifest["sha256"]["checkpoint.json"] = honest_hash
    path.write_text(json.dumps(manifest))
    with pytest.raises(
        RunError,
        match=r"model.safetensors: is damaged: 'fc.weight' has shape \[2, 3\], but \[3, 2\] in"
        r" checkpoint.json\. epoch-0001 is intact: --checkpoint epoch-0001",
    ):
        store.load("last")


def test_a_damaged_best_is_forgotten_with_a_warning(
    store: CheckpointStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "epoch-0001/model.safetensors").write_bytes(b"")
    store.forget_after("epoch-0002")
    assert store.index() == Index(None, ("epoch-0002",))
    assert "epoch-0001: is damaged, and no longer the best." in caplog.text


def test_other_damage(store: CheckpointStore, tmp_path: Path) -> None:
    manifest = tmp_path / "epoch-0001/checkpoint.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 4}))
    with pytest.raises(
        RunError,
        match=r"checkpoint.json: has format 4; this Isotune reads formats 2 and 3\."
        r" epoch-0002 is intact: --checkpoint epoch-0002 uses it\.",
    ):
        store.load("best")
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(RunError, match=r"index.json: is damaged"):
        store.load("last")
    (tmp_path / "index.json").unlink()
    with pytest.raises(RunError, match=r"index.json: is missing, but there are epoch-0001, epoch"):
        store.load("last")


def forge(path: Path, **changes: Any) -> None:
    """Replaces keys of a manifest, with the right hash."""
    manifest = {**json.loads(path.read_text()), **changes}
    manifest["sha256"].pop("checkpoint.json", None)
    manifest["sha256"]["checkpoint.json"] = hashlib.sha256(
        json.dumps(manifest).encode()
    ).hexdigest()
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tensors": "fc"}, "tensors is 'fc', but should be a mapping"),
        ({"history": None}, "history is null, but should be a list"),
        ({"history": []}, "history is .*, but should hold the epochs from 1 to 2, each once"),
        ({"epoch": {}}, "epoch is {}, but should be a whole number"),
        ({"epoch": 10**400}, "epoch is 1000.*, but should be at most"),
        ({"classes": ["ä"], "class_weights": [1.0, 2.0]}, "class_weights is .* of the 1 classes"),
        ({"weights": "best"}, "weights is 'best', but should be"),
        ({"best": True}, "best is true, but should be a whole number"),
        ({"best": 3}, "best is 3, but should be one of the 2 epochs"),
        ({"step": 5, "epoch_so_far": []}, r"epoch_so_far is \[\], but should be a mapping"),
        ({"metrics": {"epoch": 2, "steps": 2, "val_loss": "x"}}, "metrics.val_loss is 'x'"),
    ],
)
def test_a_forged_manifest_is_refused_by_its_field(
    changes: dict[str, Any], says: str, store: CheckpointStore, tmp_path: Path
) -> None:
    forge(tmp_path / "epoch-0002/checkpoint.json", **changes)
    with pytest.raises(RunError, match=f"epoch-0002/checkpoint.json: is damaged: {says}"):
        store.load("last")


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({"kept": [[]]}, r"kept.0 is \[\], but should be a name such as epoch-0003"),
        ({"kept": [], "best": "../../outside"}, "best is '../../outside', but should be a name"),
        ({"kept": ["/epoch-0001"]}, "kept.0 is '/epoch-0001'"),
        ({"kept": ["epoch-0001\n"]}, "kept.0 is"),
        ({"best": True, "kept": []}, "best is true"),
        ({}, "kept is missing"),
    ],
)
def test_a_forged_index_is_refused_by_its_field(
    index: dict[str, Any], says: str, store: CheckpointStore, tmp_path: Path
) -> None:
    (tmp_path / "index.json").write_text(json.dumps(index))
    with pytest.raises(RunError, match=f"index.json: is damaged: {says}"):
        store.load("last")


def test_a_checkpoint_under_another_name_is_refused(store: CheckpointStore, tmp_path: Path) -> None:
    (tmp_path / "epoch-0001").rename(tmp_path / "epoch-0003")
    (tmp_path / "index.json").write_text('{"kept": ["epoch-0003"]}')
    with pytest.raises(RunError, match=r"epoch-0003/checkpoint.json: .* belongs to epoch-0001"):
        store.load("last")


def test_only_own_folders_inside_the_real_one_are_removed(
    store: CheckpointStore, tmp_path: Path
) -> None:
    outside = tmp_path.with_name(f"{tmp_path.name}-outside")
    (outside / "epoch-0007").mkdir(parents=True)
    others = ["notes", "epoch-7", "epoch-0007.bak", ".git"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / "epoch-0009").symlink_to(outside, target_is_directory=True)
    save(store, checkpoint(3), keep=1, best=True)
    assert set(folders(tmp_path)) == {*others, "epoch-0003", "epoch-0009", "index.json"}
    linked = tmp_path.with_name(f"{tmp_path.name}-linked")
    linked.symlink_to(tmp_path, target_is_directory=True)
    for use in (lambda s: s.load("last"), lambda s: save(s, checkpoint(4), keep=1)):
        with pytest.raises(RunError, match="is a link, and links are not followed"):
            use(CheckpointStore(linked))
    assert folders(outside) == ["epoch-0007"]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_none_is_refused(name: str, store: CheckpointStore, tmp_path: Path) -> None:
    file = tmp_path / "epoch-0002" / name
    elsewhere = file.rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    file.symlink_to(elsewhere)
    with pytest.raises(RunError, match=rf"{name}: is a link, and links are not followed\."):
        store.load("last")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(RunError, match=rf"{name}: is not a regular file"):
        store.load("last")
    file.unlink()
    with file.open("wb") as sparse:
        sparse.truncate(1 << 33)
    with pytest.raises(RunError, match=rf"{name}: is larger than \d+ bytes"):
        store.load("last")


def test_a_manifest_without_its_hash_is_refused(store: CheckpointStore, tmp_path: Path) -> None:
    path = tmp_path / "epoch-0002/checkpoint.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"checkpoint.json: is damaged: its SHA-256 is not the one"):
        store.load("last")
