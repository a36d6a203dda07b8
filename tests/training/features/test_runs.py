"""Whole experiments with a frozen backbone: the same figures as without kept features."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import isotune
from isotune.data.batches import Batches
from isotune.errors import SpecError, TrainingError
from isotune.experiment.result import Run
from isotune.interfaces.dataset import Batch
from isotune.interfaces.division import Division
from isotune.interfaces.events import RunStarted
from isotune.runs.checkpoints import CheckpointStore
from isotune.storage.sealed import HEADER
from isotune.testing.subject import assert_states_close, in_bytes
from isotune.training.features.store import FeatureStore
from tiny import experiment, make_fewer_bees, make_images

LINEAR: dict[str, Any] = {"head": "linear"}
MLP = {"head": {"name": "mlp", "hidden": [16], "dropout": 0.25}}
SINGLE = {
    "head": {"name": "mlp", "hidden": [16], "outputs": "single"},
    "loss": "binary_cross_entropy",
}
FIXED = [{"resize": [32, 32]}]
UNFREEZING: dict[str, Any] = {"parameters": "backbone", "unfreeze": {3: "all"}}
WEIGHTED: dict[str, Any] = {"name": "cross_entropy", "class_weights": "balanced"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives an empty home and returns where it will keep features."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "cache" / "features"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Holds the sizes of all batches of images that torch evaluates."""
    pytest.importorskip("torch")
    from isotune_torch.trainer import TorchTrainer

    sizes: list[int] = []
    evaluate = TorchTrainer.eval_step

    def eval_step(self: Any, batch: Any) -> Any:
        if batch.images.dim() == 4:
            sizes.append(batch.size)
        return evaluate(self, batch)

    monkeypatch.setattr(TorchTrainer, "eval_step", eval_step)
    return sizes


def lenet(images: Path, **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "backbone": {"name": "lenet", "weights": "none"},
        "transforms": {
            "train": [{"resize": [36, 36]}, {"random_crop": 32}, "random_horizontal_flip"],
            "val": FIXED,
        },
        "freeze": "backbone",
        "optimizer": {"name": "adam", "lr": 0.01},
        "epochs": 3,
    }
    return experiment(images, **{**spec, **changes})


def run(spec: dict[str, Any], output: Path, backend: str = "torch", **cache: Any) -> Run:
    pytest.importorskip(backend)
    return isotune.run({**spec, "cache": cache}, backend=backend, device="cpu", output=output)


def last(run: Run) -> tuple[dict[str, Any], ...]:
    checkpoint = CheckpointStore(run.folder.checkpoints).load("last")
    return checkpoint.model, checkpoint.optimizer, checkpoint.weights


def assert_same_run(found: Run, expected: Run) -> None:
    for mine, theirs in zip(found.history, expected.history, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert mine.val_loss == pytest.approx(theirs.val_loss, rel=1e-5)
        assert mine.train_accuracy == theirs.train_accuracy
        assert (mine.learning_rate, mine.steps) == (theirs.learning_rate, theirs.steps)
    for mine_, theirs_ in zip(last(found), last(expected), strict=True):
        assert_states_close(mine_, theirs_)
    assert repr(found.model) == repr(expected.model)
    state = found.backend.state_adapter.export_model(found.model)
    best = CheckpointStore(found.folder.checkpoints).load("best").weights
    assert in_bytes(state) == in_bytes(best)


@pytest.mark.parametrize(
    ("backend", "head"),
    [("torch", LINEAR), ("torch", MLP), ("torch", SINGLE), ("mindspore", MLP)],
    ids=["torch-linear", "torch-mlp", "torch-single", "mindspore-mlp"],
)
def test_a_run_equals_one_without_kept_features(
    backend: str, head: dict[str, Any], images: Path, tmp_path: Path, cache: Path
) -> None:
    if head is SINGLE:
        two = tmp_path / "two"
        for folder in ("train/ants", "train/bees", "val/ants", "val/bees"):
            copytree(images / folder, two / folder)
        images = two
    # A linear head is the last of LeNet's three layers, and its block that layer alone.
    spec = lenet(images, **head, freeze=UNFREEZING, schedule="cosine", drop_last=True)
    spec |= {"checkpoint": {"every_steps": 1}, "ema": {"decay": 0.9}}
    found = run(spec, tmp_path / "kept", backend)
    assert_same_run(found, run(spec, tmp_path / "plain", backend, features="off"))
    assert len(list(cache.glob("*.features"))) == 1, "those of validation, which are the same again"


@pytest.mark.parametrize("backend", ["torch", "mindspore"])
def test_accumulation_and_precision_go_with_kept_features(
    backend: str, images: Path, tmp_path: Path, cache: Path
) -> None:
    more: dict[str, Any] = {"batch_size": 2, "accumulate": 3, "loss": WEIGHTED}
    more["clip_grad_norm"] = 0.5
    spec = lenet(images, **MLP, **more)
    if backend == "torch":
        spec["precision"] = "bf16"
    found = run(spec, tmp_path / "kept", backend)
    expected = run(spec, tmp_path / "plain", backend, features="off")
    tolerance = 1e-5 if backend == "mindspore" else 1e-2  # bfloat16 has 8 bits
    for mine, theirs in zip(found.history, expected.history, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=tolerance)
        assert mine.val_loss == pytest.approx(theirs.val_loss, rel=tolerance)
        assert mine.grad_norm == pytest.approx(theirs.grad_norm, rel=10 * tolerance)
    assert found.history[-1].train_loss != found.history[0].train_loss


def test_the_model_stays_frozen_after_the_run(images: Path, tmp_path: Path) -> None:
    model = run(lenet(images), tmp_path / "run").model
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trains == {"fc3.weight", "fc3.bias"}


def test_views_are_seen_in_turn(
    images: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = lenet(images, epochs=5)
    found = run(spec, tmp_path / "views", views=2)
    assert len(list(cache.glob("*.features"))) == 3
    of_epoch = Batches.epoch

    def epoch(
        self: Batches, epoch: int, start_batch: int = 0, **division: Division
    ) -> Iterator[Batch]:
        return of_epoch(self, epoch % 2, start_batch, order=epoch, **division)

    monkeypatch.setattr(Batches, "epoch", epoch)
    expected = run(spec, tmp_path / "plain", features="off")
    assert_same_run(found, expected)
    assert found.history != expected.history


def test_where_features_are_kept_changes_no_result(
    images: Path, tmp_path: Path, cache: Path, computed: list[int]
) -> None:
    bounds = {"memory": {}, "files": {"memory": 0}, "nowhere": {"memory": 0, "disk": 0}}
    ends: dict[str, list[Any]] = {}
    for name, bound in bounds.items():
        computed.clear()
        for file in cache.glob("*"):
            file.unlink()
        finished = run(lenet(images), tmp_path / name, views=2, **bound)
        ends[name] = list(last(finished))
        assert (len(list(cache.glob("*.features"))) == 3) == (name != "nowhere")
        assert not list(cache.glob("*.part"))
    for memory, files, nowhere in zip(*ends.values(), strict=True):
        assert in_bytes(memory) == in_bytes(files)
        assert_states_close(nowhere, memory)
    assert sum(computed) > 3 * (9 + 9), "without room each epoch computes them again"


def test_an_image_drawn_several_times_has_features_each_time(
    images: Path, tmp_path: Path, cache: Path
) -> None:
    few = make_fewer_bees(images, tmp_path / "few")
    spec = lenet(few, sampler="balanced", epochs=2)
    kept = run(spec, tmp_path / "kept")
    assert_same_run(kept, run(spec, tmp_path / "plain", features="off"))
    views = run(spec, tmp_path / "views", views=2)
    nowhere = run(spec, tmp_path / "nowhere", views=2, memory=0, disk=0)
    assert_same_run(nowhere, views)
    assert views.history[0].train_loss != kept.history[0].train_loss, "an image has one view"


def test_without_randomness_features_are_computed_once(
    images: Path, tmp_path: Path, cache: Path, computed: list[int]
) -> None:
    spec = lenet(images, transforms={"train": FIXED, "val": FIXED})
    run(spec, tmp_path / "run")
    assert computed == [5] * 4, "9 training images in even batches, filled up for 6 others"


def test_folds_share_the_features_of_all_their_images(
    images: Path, tmp_path: Path, cache: Path, computed: list[int]
) -> None:
    def folds(name: str, **cache: Any) -> list[Run]:
        spec = {**lenet(images, epochs=2), "cache": cache}
        options: dict[str, Any] = {"folds": 2, "backend": "torch", "device": "cpu"}
        found = isotune.cross_validate(spec, **options, output=tmp_path / name)
        return [isotune.open_run(path, device="cpu") for path in found.runs]

    predicted = [7, 8]  # after training, by the whole model
    shared = folds("shared")
    # The 15 images of both folds are a batch of 8 and one of 7, which is filled up, for validation
    # and for each of two epochs.
    assert sorted(computed) == sorted(predicted + [8] * 2 * 3)
    assert len(list(cache.glob("*.features"))) == 3
    for file in cache.glob("*"):
        file.unlink()
    computed.clear()
    alone = folds("alone", disk=0)
    # One batch each until it is known that files have no room; then a batch of validation, and one
    # an epoch.
    assert sorted(computed) == sorted(predicted + [8] * 2 * (2 + 1 + 2))
    assert not list(cache.glob("*"))
    plain = folds("plain", features="off")
    for mine, other, expected in zip(shared, alone, plain, strict=True):
        assert_same_run(mine, expected)
        assert_same_run(other, expected)


def turn(path: Path, degrees: int) -> None:
    """Turns an image, in a format in which all images of its size take the same number of bytes."""
    with Image.open(path) as image:
        turned = image.rotate(degrees)
    turned.save(path, "BMP")


def test_a_later_run_finds_features_of_the_same_images_and_weights_alone(
    images: Path, tmp_path: Path, cache: Path, computed: list[int]
) -> None:
    own = tmp_path / "images"
    copytree(images, own)
    one, another = sorted((own / "train").glob("*/*.png"))[:2]
    turn(another, 0)
    spec = lenet(own)
    first = run(spec, tmp_path / "first", views=2)
    assert len(computed) == 6
    computed.clear()
    again = run({**spec, "optimizer": {"name": "adam", "lr": 0.01}}, tmp_path / "again", views=2)
    assert computed == []
    assert [in_bytes(state) for state in last(again)] == [in_bytes(s) for s in last(first)]

    crop = {"train": [{"random_crop": 12}, {"resize": [32, 32]}], "val": FIXED}
    for name, other, batches in (
        ("weights and views", {"seed": 1}, 6),
        ("training transforms", {"transforms": {**crop}}, 4),
        ("normalization", {"normalization": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, 6),
    ):
        computed.clear()
        run({**spec, **other}, tmp_path / name, views=2)
        assert len(computed) == batches, name
    os.utime(one, ns=(1, 1))
    own.rename(tmp_path / "moved")
    own.symlink_to(tmp_path / "moved")
    computed.clear()
    run(spec, tmp_path / "the same images", views=2)
    assert computed == []
    before = another.stat()
    turn(another, 180)
    os.utime(another, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert another.stat().st_size == before.st_size
    run(spec, tmp_path / "another image", views=2)
    assert len(computed) == 4, "those of validation still hold"


def test_trials_of_a_sweep_share_features(
    images: Path, tmp_path: Path, cache: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"head": ["linear", {"name": "mlp", "hidden": {"choices": [[4], [8]]}}]}
    spec = lenet(images, epochs=2, cache={"views": 2})
    options: dict[str, Any] = {"sampler": "grid", "backend": "torch", "device": "cpu"}
    found = isotune.sweep(spec, space=space, output=tmp_path / "sweep", **options)
    assert [trial.state for trial in found.trials] == ["complete"] * 3
    assert len(computed) == 6, "of two views to train on and one to validate on"
    computed.clear()

    @contextmanager
    def elsewhere(store: FeatureStore, key: str) -> Iterator[None]:
        (cache.parent / "away").rename(cache)  # another process has just computed them
        monkeypatch.setattr(FeatureStore, "computing", nullcontext)
        yield

    cache.rename(cache.parent / "away")
    monkeypatch.setattr(FeatureStore, "computing", elsewhere)
    run(lenet(images, epochs=2), tmp_path / "run", views=2)
    assert computed == []


def test_features_of_images_that_change_meanwhile_are_not_for_later_runs(
    images: Path, tmp_path: Path, cache: Path
) -> None:
    own = copytree(images, tmp_path / "images")

    class Changes:
        def isotune_run_started(self, event: RunStarted) -> None:
            turn(next((own / "train").glob("*/*.png")), 90)

    pytest.importorskip("torch")
    spec = {**lenet(own), "cache": {"views": 1}}
    isotune.run(spec, backend="torch", device="cpu", output=tmp_path / "run", observers=[Changes()])
    assert len(list(cache.glob("*.features"))) == 1, "those of validation alone"


def test_damaged_features_are_computed_again(
    images: Path,
    tmp_path: Path,
    cache: Path,
    computed: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = run(lenet(images), tmp_path / "first", views=1)
    files = sorted(cache.glob("*.features"))
    rows = files[0].read_bytes()[HEADER:]
    damages = [
        rows[:-1] + bytes([rows[-1] ^ 1]),
        np.full(len(rows) // 4, np.nan, np.float32).tobytes(),
        rows[: len(rows) // 2],
    ]
    for number, damage in enumerate(damages):
        computed.clear()
        caplog.clear()
        files[0].write_bytes(files[0].read_bytes()[:HEADER] + damage)
        again = run(lenet(images), tmp_path / f"again {number}", views=1)
        assert in_bytes(last(again)[0]) == in_bytes(last(first)[0])
        assert len(computed) in (1, 2), "one split's alone"
        assert [str(files[0]) in message for message in caplog.messages] == [True]


def test_a_range_test_trains_on_features(images: Path, cache: Path, computed: list[int]) -> None:
    """Of a few epochs, whose images are computed once, as a run's are, and kept for it."""
    spec = lenet(images, **LINEAR, transforms={"train": FIXED, "val": FIXED})
    found = isotune.find_lr(spec, backend="torch", device="cpu", steps=20)
    assert len(found.curve.rates) == 20
    assert computed == [5, 5]
    assert len(list(cache.iterdir())) == 1


def test_features_that_are_not_finite_do_not_blame_the_learning_rate(
    images: Path, tmp_path: Path, cache: Path
) -> None:
    spec = lenet(images, normalization={"mean": [0, 0, 0], "std": [1e-40, 1e-40, 1e-40]})
    with pytest.raises(TrainingError, match="frozen layers compute NaN or infinite features"):
        run(spec, tmp_path / "run")
    assert not list(cache.glob("*.features"))


def test_a_home_that_cannot_be_written_keeps_nothing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "file"))
    found = run(lenet(images), tmp_path / "run", views=1, memory=0)
    assert_same_run(found, run(lenet(images), tmp_path / "memory", views=1))


@pytest.mark.parametrize(
    ("changes", "cache", "described"),
    [
        ({}, {}, "computed once for validation, in every epoch for training"),
        ({"transforms": {"train": FIXED, "val": FIXED}}, {}, "computed once"),
        ({}, {"views": 1}, "computed once, of one view"),
        ({}, {"views": 3}, "computed once for each of 3 views"),
        ({}, {"features": "off"}, None),
        ({"freeze": ["conv1", "fc1"]}, {}, None),
    ],
)
def test_observers_are_told_how_features_are_kept(
    changes: dict[str, Any],
    cache: dict[str, Any],
    described: str | None,
    images: Path,
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch")
    told: list[str | None] = []

    def isotune_run_started(event: RunStarted) -> None:
        told.append(event.features)

    isotune.run(
        {**lenet(images, **{"epochs": 1, **changes}), "cache": cache},
        backend="torch",
        device="cpu",
        output=tmp_path / "run",
        observers=[SimpleNamespace(isotune_run_started=isotune_run_started)],
    )
    assert told == [described]


def test_views_that_could_not_be_kept_are_an_error(images: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cache\.views: is 2, but .*: conv1\.bias trains"):
        run(lenet(images, freeze="none"), tmp_path / "run", views=2)
    with pytest.raises(SpecError, match="views needs features: auto"):
        run(lenet(images), tmp_path / "run", views=2, features="off")
    assert not (tmp_path / "run").exists()
