"""A run that was stopped goes on to the bytes of one that never was."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.errors import IsotuneError, RunError, SpecError, StoppedError
from isotune.runs.checkpoints import CheckpointStore
from outcomes import outcome
from stopping import InterruptAt, StopAt, demanding, resume, stopped
from tiny import make_fewer_bees, make_images
from zoo import ALL, plugins, run


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


@pytest.mark.parametrize("backend", ALL)
def test_stopped_runs_come_to_the_same_bytes(backend: str, images: Path, tmp_path: Path) -> None:
    mixing = {"mixup": 0.2, "cutmix": 1.0, "probability": 0.8}
    spec = demanding(backend, images, mixing=mixing, accumulate=2, clip_grad_norm=0.5)
    whole = run(backend, spec, tmp_path / "whole")
    assert all(metrics.grad_norm > 0 for metrics in whole.history)
    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError, match=r"SIGTERM after step 2, in epoch 1 of 4"):
        run(backend, spec, folder, observers=[StopAt(2)])
    with pytest.raises(StoppedError, match=r"SIGTERM after step 6, in epoch 2 of 4"):
        resume(backend, folder, observers=[StopAt(4)])
    with pytest.raises(StoppedError, match=r"SIGTERM after step 8, in epoch 3 of 4"):
        resume(backend, folder, observers=[StopAt(1)])
    resumed = resume(backend, folder)
    assert outcome(folder) == outcome(tmp_path / "whole")
    assert [metrics.epoch for metrics in resumed.history] == [1, 2, 3, 4]
    steps = CheckpointStore(folder / "checkpoints").load("last").manifest.lineage
    assert [segment.step for segment in steps] == [0, 2, 6, 8]
    with pytest.raises(RunError, match=r"4 epochs of 4 are done; --set epochs=8 would continue"):
        resume(backend, folder)


@pytest.mark.parametrize(
    ("backend", "backbone", "kills", "at_a_time"),
    [
        ("torch", "mobilenet_v2", 3, 3),
        ("mindspore", "tiny_bn", 2, 2),  # compiles quickly
        ("numpy", "linear", 15, 3),  # three in each phase
    ],
)
def test_a_killed_run_comes_to_the_same_bytes(
    backend: str, backbone: str, kills: int, at_a_time: int, tmp_path: Path
) -> None:
    """``python tests/killing.py`` kills more often, at moments that another seed draws."""
    pytest.importorskip(backend)
    options: dict[str, object] = {"backend": backend, "backbone": backbone, "epochs": 2}
    options |= {"kills": kills, "at-a-time": at_a_time}
    command = [f"--{name}={value}" for name, value in options.items()]
    program = [sys.executable, str(Path(__file__).parents[1] / "killing.py")]
    done = subprocess.run(
        [*program, *command, f"--work={tmp_path}"],
        capture_output=True,
        text=True,
        # Threads that wait for one another spin, which takes three times as long on a busy machine.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = re.match(rf"{kills} kills at \d\d\d moments, (\d+) runs, the same bytes", done.stdout)
    assert said, done.stdout
    if backbone == "mobilenet_v2":
        check_with_torchvision(tmp_path / f"killed-{int(said[1]) - 1}")


def test_a_balanced_sampler_resumes_within_an_epoch(images: Path, tmp_path: Path) -> None:
    one_bee = make_fewer_bees(images, tmp_path / "images")
    more: dict[str, Any] = {"batch_size": 2, "drop_last": True, "accumulate": 2}
    spec = demanding("numpy", one_bee, sampler="balanced", **more)
    run("numpy", spec, tmp_path / "whole")
    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError, match=r"after step 2, in epoch 1 of 4"):
        run("numpy", spec, folder, observers=[StopAt(2)])
    with pytest.raises(StoppedError, match=r"after step 5, in epoch 2 of 4"):
        resume("numpy", folder, observers=[StopAt(2)])
    with pytest.raises(SpecError, match=r"sampler: is 'shuffled', .* another experiment"):
        resume("numpy", folder, overrides=["sampler=shuffled"])
    resume("numpy", folder)
    assert outcome(folder) == outcome(tmp_path / "whole")


def check_with_torchvision(folder: Path) -> None:
    """As docs/checkpoints.md has it."""
    torch, models = pytest.importorskip("torch"), pytest.importorskip("torchvision.models")
    from safetensors.torch import load_file

    model = models.mobilenet_v2()
    model.classifier[1] = torch.nn.Linear(model.last_channel, 3)
    last = CheckpointStore(folder / "checkpoints").index().last
    state = load_file(folder / "checkpoints" / str(last) / "model.safetensors")
    assert str(model.load_state_dict(state, strict=True)) == "<All keys matched successfully>"
    assert torch.equal(model.classifier[1].weight, state["classifier.1.weight"])


def test_a_run_without_a_checkpoint_begins_anew(images: Path, tmp_path: Path) -> None:
    spec = demanding("numpy", images)
    run("numpy", spec, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run("numpy", spec, tmp_path / "killed", observers=[InterruptAt(2)])
    assert CheckpointStore(tmp_path / "killed/checkpoints").index().names == ()
    isotune.resume(tmp_path / "killed", device="cpu", plugins=plugins("numpy"))
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def test_a_run_killed_at_its_very_end_is_finished(images: Path, tmp_path: Path) -> None:
    folder = run("numpy", demanding("numpy", images), tmp_path).folder
    before, ended = outcome(tmp_path), json.loads((tmp_path / "summary.json").read_text())
    unfinished = {**ended, "state": "unfinished"}
    folder.write_summary(unfinished)
    finished = resume("numpy", tmp_path)
    assert outcome(tmp_path) == before
    summary = folder.summary()
    assert summary.best is not None
    assert finished.best.as_json() == summary.best.metrics().as_json() == unfinished["best"]
    assert summary.state == "finished"
    with pytest.raises(RunError, match="4 epochs of 4 are done"):
        resume("numpy", tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "optimizer"),
    [
        ("torch", "mindspore", {"name": "sgd", "lr": 0.01, "momentum": 0.9}),
        ("torch", "mindspore", {"name": "adam", "lr": 0.001}),
        ("mindspore", "torch", {"name": "sgd", "lr": 0.01, "momentum": 0.9}),
        ("mindspore", "torch", {"name": "adamw", "lr": 0.001, "weight_decay": 0.1}),
    ],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_a_run_crosses_over(
    first: str, second: str, optimizer: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    pytest.importorskip(first)
    pytest.importorskip(second)
    spec = demanding(first, images, optimizer=optimizer, head={"name": "linear"})
    whole = run(first, spec, tmp_path / "whole")
    with pytest.raises(StoppedError):
        run(first, spec, tmp_path / "crossed", observers=[StopAt(5)])
    resume(second, tmp_path / "crossed")
    for mine, theirs in zip(outcomes(tmp_path / "crossed"), outcomes(whole.path), strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            np.testing.assert_allclose(mine[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def outcomes(folder: Path) -> list[dict[str, Any]]:
    last = CheckpointStore(folder / "checkpoints").load("last")
    return [last.model, last.optimizer, last.weights]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimizer.lr=1.0", r"optimizer.lr: is 1.0, but the run was started with 0.01"),
        (
            "batch_size=2",
            r"batch_size: is 2, .* What may change: name, dataset.path, dataset.broken,",
        ),
        ("head={name: mlp, hidden: [4]}", r"head.\w+: is .*, but the run was started with"),
        ("backbone=lenet", r"backbone.\w+: is .*, but the run was started with"),
        ("ema=null", r"ema.decay: is None, but the run was started with 0.9: it would be another"),
        ("epochs=1", r"2 epochs of 1 are done; --set epochs=4 would continue"),
    ],
)
def test_another_experiment_is_refused(
    override: str, says: str, images: Path, tmp_path: Path
) -> None:
    folder = stopped(images, tmp_path)
    before = (folder / "spec.yaml").read_bytes()
    with pytest.raises(IsotuneError, match=says):
        resume("numpy", folder, overrides=[override])
    assert (folder / "spec.yaml").read_bytes() == before
    more = resume("numpy", folder, overrides=["epochs=5", "eval_batch_size=2"])
    assert len(more.history) == more.folder.spec().epochs == 5


@pytest.mark.parametrize(
    "file",
    ["checkpoint.json", "model.safetensors", "optimizer.safetensors", "average.safetensors"],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_offered(
    file: str, images: Path, tmp_path: Path
) -> None:
    run("numpy", demanding("numpy", images), tmp_path / "whole")
    folder = stopped(images, tmp_path)
    damaged = folder / "checkpoints/step-00000005" / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 4
    damaged.write_bytes(content)
    with pytest.raises(
        RunError, match=rf"{file}: is damaged: .* epoch-0001 is intact: --checkpoint epoch-0001"
    ):
        resume("numpy", folder)
    resume("numpy", folder, checkpoint="epoch-0001")
    assert outcome(folder) == outcome(tmp_path / "whole")


def test_a_second_process_is_refused_while_the_first_lives(images: Path, tmp_path: Path) -> None:
    folder = stopped(images, tmp_path)
    lock = "from isotune.runs.folder import RunFolder as F; import sys; "
    lock += "f = F.existing(sys.argv[1]); f.claim(); print('mine', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", lock, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"mine\n"
        with pytest.raises(RunError, match=f"process {first.pid} is training there"):
            resume("numpy", folder)
        first.kill()
    assert resume("numpy", folder).history


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only who may mount a file system can fill one")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path, images: Path, tmp_path: Path) -> None:
    spec = demanding("numpy", images, checkpoint={"every_steps": 1, "keep": 100})
    run("numpy", spec, tmp_path / "whole")
    folder = small_disk / "run"
    with pytest.raises(
        RunError, match=r"cannot be written: No space left on device\. The checkpoints before it"
    ):
        run("numpy", spec, folder)
    last = CheckpointStore(folder / "checkpoints").load("last").manifest
    assert 0 < last.step < 12
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    resume("numpy", folder)
    assert outcome(folder) == outcome(tmp_path / "whole")
