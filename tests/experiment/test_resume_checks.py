"""What a checkpoint holds is compared with the experiment before a run goes on from it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.errors import RunError, StoppedError, WeightsError
from isotune.experiment.result import Run
from isotune.interfaces.events import RunEnded, StepEnded
from isotune.runs.checkpoints import CheckpointStore
from stopping import forged
from tiny import experiment, make_images
from zoo import plugins, run


def stopped(tmp_path: Path, backend: str = "numpy", **changes: Any) -> Path:
    """Returns the folder of a run that was stopped after five of six steps."""
    folder = tmp_path / "stopped"
    spec = experiment(make_images(tmp_path / "images"), **changes)

    def stop(event: StepEnded) -> None:
        if (event.epoch, event.step) == (2, 2):
            event.stop.request("a test")

    with pytest.raises(StoppedError):
        run(backend, spec, folder, observers=[SimpleNamespace(isotune_step_ended=stop)])
    return folder


def resume(folder: Path, backend: str = "numpy") -> Run:
    return isotune.resume(folder, backend=backend, device="cpu", plugins=plugins(backend))


F32 = np.float32


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"model": {}}, r"model.safetensors: is damaged: there is no tensor 'fc.weight'"),
        (
            {"model": {"fc.weight": np.zeros(3, F32), "fc.bias": np.zeros(3, F32)}},
            r"model.safetensors: is damaged: .* not those of a linear layer",
        ),
        (
            {"model": {"fc.weight": np.zeros((2, 192), F32), "fc.bias": np.zeros(2, F32)}},
            r"model.safetensors: .* has 192 inputs and 2 outputs, but 192 and 3 are needed",
        ),
        (
            {"optimizer": {"fc.weight/momentum_buffer": np.zeros(2, F32)}},
            r"optimizer.safetensors: .*'fc.weight' are .*\(2,\).* should be .*\(3, 192\)",
        ),
        ({"optimizer": {"gone/momentum_buffer": np.zeros(2, F32)}}, "'gone' are .* should be {}"),
        ({"optimizer": {"momentum_buffer": np.zeros(2, F32)}}, "'' are .* should be {}"),
    ],
)
def test_tensors_that_disagree_with_the_experiment_are_refused(
    parts: dict[str, Any], says: str, tmp_path: Path
) -> None:
    folder = stopped(tmp_path)
    forged(folder, **parts)
    before = (folder / "checkpoints/index.json").read_bytes()
    with pytest.raises(RunError, match=says):
        resume(folder)
    assert (folder / "checkpoints/index.json").read_bytes() == before


def test_a_step_outside_its_epoch_is_refused(tmp_path: Path) -> None:
    folder = stopped(tmp_path)
    manifest = CheckpointStore(folder / "checkpoints").load("last").manifest
    assert manifest.epoch_so_far is not None
    sums = manifest.epoch_so_far.model_copy(update={"steps": 7})
    forged(folder, manifest=manifest.model_copy(update={"epoch_so_far": sums}))
    with pytest.raises(RunError, match=r"checkpoint.json: is damaged: step is 5, which is not in"):
        resume(folder)


def test_the_largest_numbers_of_a_spec_are_saved_and_read(tmp_path: Path) -> None:
    weights = {"ants": 1e-40, "bees": 1e37, "cats": 1.0}
    folder = stopped(tmp_path, seed=2**63 - 1, loss={"class_weights": weights})
    manifest = CheckpointStore(folder / "checkpoints").load("last").manifest
    assert manifest.random["seed"] == 2**63 - 1
    assert resume(folder).spec.seed == 2**63 - 1


def test_a_best_checkpoint_of_another_model_or_epoch_is_refused(tmp_path: Path) -> None:
    folder = stopped(tmp_path)
    store = CheckpointStore(folder / "checkpoints")
    best, last = store.load("best"), store.load("last").manifest
    forged(folder, "best", model={**best.model, "fc.bias": np.zeros((3, 1), F32)})
    with pytest.raises(WeightsError, match=r"epoch-0001/model.safetensors' .* \(3, 1\) for \(3,\)"):
        resume(folder)
    forged(folder, "best", model=best.model)
    forged(folder, manifest=last.model_copy(update={"best": None}))
    assert resume(folder).best.epoch == 2


@pytest.mark.parametrize("net", ["tiny_auxiliary", "tiny_convolutional"])
def test_heads_of_other_kinds_go_on(net: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = stopped(tmp_path, "torch", backbone={"name": net, "weights": "none"})
    resumed = resume(folder, "torch")
    opened = isotune.open_run(folder, device="cpu", plugins=plugins("torch"))
    assert opened.evaluate().accuracy == opened.best.val_accuracy == resumed.best.val_accuracy


def test_a_run_whose_folder_is_removed_stops(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")

    def remove(event: StepEnded) -> None:
        shutil.rmtree(tmp_path / "run", ignore_errors=True)

    statuses = []

    def ended(event: RunEnded) -> None:
        statuses.append(event.status)

    observer = SimpleNamespace(isotune_step_ended=remove, isotune_run_ended=ended)
    with pytest.raises(RunError, match="run: was removed while the run went on; nothing can be"):
        run("numpy", experiment(images), tmp_path / "run", observers=[observer])
    assert not (tmp_path / "run").exists()
    assert statuses == ["failed"]
