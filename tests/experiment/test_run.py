"""Whole experiments on every backend: the same figures, bytes and promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import isotune
from contract.nets import ENTRIES
from isotune.catalogue.entries import catalogue
from isotune.errors import SpecError, TrainingError
from isotune.experiment.result import Run
from isotune.interfaces.events import EpochEnded
from isotune.models.build import build_model
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.testing.subject import in_bytes
from isotune.weights.dialects.canonical import to_canonical
from isotune.weights.formats.read import read_weights
from numpy_backend.backend import NumpyBackend
from numpy_backend.plugin import LINEAR
from tiny import experiment, make_images, numpy_plugins
from zoo import ALL, FRAMEWORKS, plugins, run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


def lenet(images: Path) -> dict[str, Any]:
    return experiment(
        images,
        backbone={"name": "lenet", "weights": "none"},
        transforms={
            "train": [{"resize": [36, 36]}, {"random_crop": 32}, "random_horizontal_flip"],
            "val": [{"resize": [32, 32]}],
        },
        freeze={"parameters": "backbone", "unfreeze": {2: ["conv2"], 3: "all"}},
        epochs=3,
        schedule="cosine",
        loss={"label_smoothing": 0.1, "class_weights": {"ants": 1, "bees": 2, "cats": 0.5}},
    )


@pytest.fixture(scope="module")
def lenets(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Returns the same run on the backend that is named, made when it is first asked for."""
    root = tmp_path_factory.mktemp("lenets")
    return cache(lambda backend: run(backend, lenet(images), root / backend))


def bytes_of(run: Run) -> dict[str, bytes]:
    """Returns everything that a run computed, without timings."""
    found = {}
    store = CheckpointStore(run.folder.checkpoints)
    for checkpoint in (store.load("best"), store.load("last")):
        for kind in ("model", "optimizer"):
            state = getattr(checkpoint, kind)
            epoch = checkpoint.manifest.epoch
            found.update({f"{epoch}/{kind}/{k}": v.tobytes() for k, v in state.items()})
    for metrics in run.history:
        figures = {k: v for k, v in metrics.as_json().items() if "seconds" not in k}
        figures.pop("step_ms")
        found[f"{metrics.epoch}"] = json.dumps(figures).encode()
    return found


def test_backends_agree(lenets: Callable[[str], Run]) -> None:
    one, other = (lenets(name).history for name in FRAMEWORKS)
    for a, b in zip(one, other, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, abs=1e-4)
        assert a.val_loss == pytest.approx(b.val_loss, abs=1e-4)
        assert a.learning_rate == b.learning_rate


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_a_run_repeats_to_the_byte(
    backend: str, lenets: Callable[[str], Run], images: Path, tmp_path: Path
) -> None:
    again = run(backend, {**lenet(images), "workers": 1}, tmp_path)
    assert bytes_of(again) == bytes_of(lenets(backend))


@pytest.mark.parametrize(("made", "opened"), [FRAMEWORKS, FRAMEWORKS[::-1]])
def test_a_run_opened_on_the_other_backend_predicts_the_same(
    made: str, opened: str, lenets: Callable[[str], Run], images: Path
) -> None:
    here = lenets(made)
    pytest.importorskip(opened)
    there = isotune.open_run(here.path, backend=opened, device="cpu")
    assert there.backend.name == opened
    files = sorted(images.glob("val/*/*.png"))
    for flip in (False, True):
        mine, others = (each.predict_many(files, flip=flip) for each in (here, there))
        for a, b in zip(mine, others, strict=True):
            assert dict(a) == pytest.approx(dict(b), abs=1e-4)
    assert there.evaluate().loss == pytest.approx(here.best.val_loss, abs=1e-4)


@pytest.mark.parametrize("backend", ["mindspore", "numpy"])
def test_a_device_that_lacks_a_precision_says_so_at_once(
    backend: str, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        run(backend, experiment(images, precision="bf16"), tmp_path / "run")
    assert str(caught.value) == (
        f"precision: backend '{backend}' has no 'bf16' on cpu; it has: fp32."
    )
    assert not (tmp_path / "run").exists()


def test_a_backend_that_does_not_divide_batches_says_so_at_once(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NumpyBackend, "divides_batches", False)
    with pytest.raises(SpecError, match=r"^shards: is 2, but backend 'numpy' does not divide"):
        run("numpy", experiment(images, shards=2), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("opened", FRAMEWORKS)
def test_a_run_in_lower_precision_opens_on_any_device(
    opened: str, lenets: Callable[[str], Run], images: Path, tmp_path: Path
) -> None:
    made = run("torch", {**lenet(images), "precision": "bf16"}, tmp_path)
    exact = lenets("torch")
    assert made.best.val_loss != exact.best.val_loss
    assert made.best.val_loss == pytest.approx(exact.best.val_loss, abs=0.05)
    pytest.importorskip(opened)
    there = isotune.open_run(made.path, backend=opened, device="cpu")
    same = opened == "torch"
    assert there.evaluate().loss == pytest.approx(made.best.val_loss, abs=1e-6 if same else 0.05)


@pytest.mark.parametrize("backend", ALL)
def test_somebodys_own_backbone_trains_alike(backend: str, images: Path, tmp_path: Path) -> None:
    spec = experiment(images, epochs=3, optimizer={"name": "adam", "lr": 0.01})
    reference = run("numpy", spec, tmp_path / "reference")
    found = reference if backend == "numpy" else run(backend, spec, tmp_path / "run")
    assert found.history[-1].train_loss < found.history[0].train_loss
    for a, b in zip(found.history, reference.history, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, abs=1e-4)
        assert a.val_loss == pytest.approx(b.val_loss, abs=1e-4)


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_frozen_means_frozen(backend: str, images: Path, tmp_path: Path) -> None:
    spec = experiment(
        images,
        backbone={"name": "tiny_bn", "weights": "none"},
        freeze="backbone",
        optimizer={"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    )
    found = run(backend, spec, tmp_path)
    before = build_model(found.spec, ENTRIES["tiny_bn"], found.backend, 3)
    initial = found.backend.state_adapter.export_model(before)
    after = found.backend.state_adapter.export_model(found.model)
    changed = {name for name in after if after[name].tobytes() != initial[name].tobytes()}
    assert changed == {"fc.weight", "fc.bias"}
    assert "bn.running_mean" in after


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_the_best_weights_are_restored(backend: str, images: Path, tmp_path: Path) -> None:
    spec = experiment(images, epochs=6, optimizer={"name": "sgd", "lr": 1.0})
    found = run(backend, spec, tmp_path)
    assert found.best.epoch < 6, "this spec is to overshoot"
    best = CheckpointStore(found.folder.checkpoints).load("best")
    assert best.manifest.epoch == found.best.epoch
    state = found.backend.state_adapter.export_model(found.model)
    assert in_bytes(state) == in_bytes(best.model)
    assert found.evaluate().accuracy == found.best.val_accuracy


@pytest.mark.parametrize(("made", "opened"), [FRAMEWORKS, FRAMEWORKS[::-1]])
def test_a_single_output_tells_two_classes_apart(
    made: str, opened: str, images: Path, tmp_path: Path
) -> None:
    two = tmp_path / "two"
    for folder in ("train/ants", "train/bees", "val/ants", "val/bees"):
        copytree(images / folder, two / folder)
    spec = experiment(
        two,
        backbone={"name": "tiny_bn", "weights": "none"},
        head={"name": "mlp", "hidden": [16], "dropout": 0.25, "outputs": "single"},
        loss="binary_cross_entropy",
        optimizer={"name": "adam", "lr": 0.02},
        epochs=30,
    )
    found = run(made, spec, tmp_path / "run")
    assert found.best.val_accuracy == 1.0
    assert found.evaluate().loss == pytest.approx(found.best.val_loss, abs=1e-5)
    evaluation = found.evaluate(flip=True)
    assert evaluation.logits.shape == (4, 1)
    pytest.importorskip(opened)
    there = isotune.open_run(found.path, backend=opened, device="cpu", plugins=plugins(opened))
    files = sorted(two.glob("val/*/*.png"))
    predictions = there.predict_many(files, flip=True)
    for row, prediction in zip(evaluation.probabilities, predictions, strict=True):
        assert dict(prediction) == pytest.approx(
            dict(zip(found.classes, row, strict=True)), abs=1e-4
        )
        assert sum(share for _, share in prediction) == pytest.approx(1)


def test_a_single_output_needs_two_classes(images: Path, tmp_path: Path) -> None:
    head = {"name": "linear", "outputs": "single"}
    spec = experiment(images, head=head, loss="binary_cross_entropy")
    with pytest.raises(SpecError, match=r"head.outputs: is 'single', .* the dataset has 3"):
        run("numpy", spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["best.ckpt", "my best.pth", "b.safetensors"])
def test_the_best_weights_are_kept_under_the_chosen_name(
    name: str, images: Path, tmp_path: Path
) -> None:
    saved: list[tuple[int, bytes]] = []

    def isotune_epoch_ended(event: EpochEnded) -> None:
        saved.append((event.best, (tmp_path / name).read_bytes()))

    spec = experiment(
        images,
        epochs=6,
        optimizer={"name": "sgd", "lr": 1.0},
        checkpoint={"save_best_as": name},
    )
    observer = SimpleNamespace(isotune_epoch_ended=isotune_epoch_ended)
    found = run("numpy", spec, tmp_path, observers=[observer])
    changes = [after != before for (_, before), (_, after) in pairwise(saved)]
    assert changes == [best for best, _ in saved[1:]]
    assert not all(changes)
    best = CheckpointStore(found.folder.checkpoints).load("best").model
    shapes = {key: value.shape for key, value in best.items()}
    weights = to_canonical(read_weights(tmp_path / name), LINEAR, name, shapes).tensors
    kept = {key: value for key, value in weights.items() if key in best}
    assert in_bytes(kept) == in_bytes(best)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_lite0", "lenet"])
def test_the_summary_is_the_same_on_every_backend(name: str) -> None:
    for backend in FRAMEWORKS:
        pytest.importorskip(backend)
    spec = {**experiment(Path("nowhere")), "backbone": name, "freeze": "backbone"}
    spec["optimizer"] = {"name": "sgd", "lr_decay_per_stage": 0.5}
    one, other = (isotune.summary(spec, backend=each, classes=4) for each in FRAMEWORKS)
    assert one == other
    assert next(iter(one.rows[0].shapes)) == "weight"
    stages = len(catalogue()[name].stages)
    assert (one.rows[0].lr_scale, one.rows[-1].lr_scale) == (0.5 ** (stages - 1), 1)
    assert f"lr * {0.5 ** (stages - 1):.3g}" in str(one).splitlines()[2]


def interrupt(event: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("batch_size", "what"), [(4, "training loss became"), (9, "validation loss became")]
)
def test_a_run_that_diverges_keeps_what_it_had(
    batch_size: int, what: str, images: Path, tmp_path: Path
) -> None:
    growing = {"name": "sgd", "lr": 1.0, "weight_decay": 1e3}  # weights times -999 a step
    spec = experiment(images, batch_size=batch_size, optimizer=growing, epochs=20)
    with pytest.raises(TrainingError, match=f"{what} (nan|inf) in epoch "):
        run("numpy", spec, tmp_path / "run")
    kept = isotune.open_run(tmp_path / "run", checkpoint="last", plugins=plugins("numpy"))
    state = kept.backend.state_adapter.export_model(kept.model)
    assert all(np.isfinite(value).all() for value in state.values())
    summary = kept.folder.summary()
    assert summary.state == "failed"
    assert what in str(summary.stopped_by)
    assert summary.epochs == len(kept.history) == kept.history[-1].epoch > 0
    assert kept.best == kept.history[-1]


def test_an_interrupted_run_leaves_its_summary(images: Path, tmp_path: Path) -> None:
    for hook, epochs in (("isotune_step_ended", 0), ("isotune_epoch_ended", 1)):
        with pytest.raises(KeyboardInterrupt):
            observer = SimpleNamespace(**{hook: interrupt})
            run("numpy", experiment(images), tmp_path / hook, observers=[observer])
        summary = RunFolder.existing(tmp_path / hook).summary()
        assert str(summary.stopped_by).startswith("KeyboardInterrupt")
        assert summary.epochs == epochs
    kept = isotune.open_run(tmp_path / "isotune_epoch_ended", plugins=plugins("numpy"))
    assert kept.best.epoch == 1


def test_a_run_learns(images: Path, tmp_path: Path) -> None:
    spec = experiment(images, epochs=20, optimizer={"name": "sgd", "lr": 0.01, "momentum": 0.9})
    assert run("numpy", spec, tmp_path).best.val_accuracy == 1.0


def test_an_empty_output_is_refused(images: Path) -> None:
    with pytest.raises(SpecError, match="output: is empty; name a new or empty folder"):
        isotune.run(experiment(images), backend="numpy", output="", plugins=numpy_plugins())
