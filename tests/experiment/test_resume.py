"""A run that was stopped goes on to the bytes of one that never was."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

import isotune
from isotune.errors import IsotuneError, RunError, StoppedError
from isotune.experiment.result import Run
from isotune.interfaces.events import StepEnded
from isotune.runs.checkpoints import CheckpointStore
from outcomes import outcome, state_files
from tiny import experiment, make_images
from zoo import ALL, plugins, run

OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    {"name": "adam", "lr": 0.001},
    {"name": "adamw", "lr": 0.001, "weight_decay": 0.1},
]


class StopAt:
    """Asks for a stop, as a job scheduler does, after a step of the process."""

    def __init__(self, step: int) -> None:
        self.left = step

    def isotune_step_ended(self, event: StepEnded) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


class InterruptAt(StopAt):
    """Ends a run as Ctrl-C does when it is pressed twice."""

    def isotune_step_ended(self, event: StepEnded) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"), size=12)


def demanding(backend: str, images: Path, **changes: Any) -> dict[str, Any]:
    """Returns an experiment with all that a resume could forget: three steps an epoch."""
    net = "linear" if backend == "numpy" else "tiny_bn"
    head = {} if backend == "numpy" else {"head": {"name": "mlp", "hidden": [6], "dropout": 0.5}}
    spec = experiment(
        images,
        backbone={"name": net, "weights": "none"},
        schedule={"name": "cosine"},
        epochs=4,
        evaluation={"every": 2},
        **head,
    )
    return {**spec, **changes}


def resume(backend: str, folder: Path, **arguments: Any) -> Run:
    return isotune.resume(
        folder, backend=backend, device="cpu", plugins=plugins(backend), **arguments
    )


@pytest.mark.parametrize("backend", ALL)
def test_stopped_runs_come_to_the_same_bytes(backend: str, images: Path, tmp_path: Path) -> None:
    spec = demanding(backend, images)
    run(backend, spec, tmp_path / "whole")
    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError, match=r"SIGTERM after step 2, in epoch 1 of 4"):
        run(backend, spec, folder, observers=[StopAt(2)])
    with pytest.raises(StoppedError, match=r"SIGTERM after step 6, in epoch 2 of 4"):
        resume(backend, folder, observers=[StopAt(4)])
    with pytest.raises(StoppedError, match=r"SIGTERM after step 7, in epoch 3 of 4"):
        resume(backend, folder, observers=[StopAt(1)])
    resumed = resume(backend, folder)
    assert outcome(folder) == outcome(tmp_path / "whole")
    assert [metrics.epoch for metrics in resumed.history] == [1, 2, 3, 4]
    steps = CheckpointStore(folder / "checkpoints").load("last").manifest.lineage
    assert [segment.step for segment in steps] == [0, 2, 6, 7]
    with pytest.raises(RunError, match=r"4 epochs of 4 are done; --set epochs=8 would continue"):
        resume(backend, folder)


@pytest.mark.parametrize(
    ("backend", "kills", "at_a_time"), [("torch", 3, 3), ("mindspore", 2, 2), ("numpy", 24, 3)]
)
def test_a_killed_run_comes_to_the_same_bytes(
    backend: str, kills: int, at_a_time: int, tmp_path: Path
) -> None:
    """``python tests/killing.py`` kills more often, at moments that another seed draws."""
    pytest.importorskip(backend)
    options = {"backend": backend, "kills": kills, "at-a-time": at_a_time, "epochs": 2}
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
    if backend != "numpy":
        check_with_torchvision(tmp_path / f"killed-{int(said[1]) - 1}")


def check_with_torchvision(folder: Path) -> None:
    """As docs/checkpoints.md has it, whichever backend wrote it."""
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


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each["name"])
@pytest.mark.parametrize(("first", "second"), [("torch", "mindspore"), ("mindspore", "torch")])
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
    return [last.model, last.optimizer]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimizer.lr=1.0", r"optimizer.lr: is 1.0, but the run was started with 0.01"),
        (
            "batch_size=2",
            r"batch_size: is 2, .* What may change: name, dataset.path, dataset.duplicates, epochs",
        ),
        ("head={name: mlp, hidden: [4]}", r"head.\w+: is .*, but the run was started with"),
        ("backbone=lenet", r"backbone.\w+: is .*, but the run was started with"),
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


def test_other_classes_or_another_number_of_images_are_refused(
    images: Path, tmp_path: Path
) -> None:
    folder = stopped(images, tmp_path)
    fewer = make_images(tmp_path / "fewer", train=2)
    with pytest.raises(RunError, match=r"3 are gone, the first train: ants/2\.png"):
        resume("numpy", folder, overrides=[f"dataset.path={fewer}"])
    (folder / "images.jsonl").unlink()  # as in a run of an earlier version
    with pytest.raises(RunError, match="was trained on 9 images, but the dataset has 6"):
        resume("numpy", folder, overrides=[f"dataset.path={fewer}"])
    for split in ("train", "val"):
        (fewer / split / "ants").rename(fewer / split / "wasps")
    with pytest.raises(
        RunError, match=r"on the classes ants, bees, cats, but .* bees, cats, wasps"
    ):
        resume("numpy", folder, overrides=[f"dataset.path={fewer}"])
    assert resume("numpy", folder).history


def replace(path: Path) -> None:
    """Replaces an image by another one, its modification time and, within a margin, its size."""
    status = path.stat()
    with Image.open(path) as image:
        turned = image.rotate(180)
    turned.save(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda own: replace(own / "train/bees/1.png"), "train: bees/1.png has another content"),
        (lambda own: replace(own / "val/bees/1.png"), "val: bees/1.png has another content"),
        (
            lambda own: (own / "train/bees/1.png").rename(own / "train/bees/x.png"),
            "train: bees/1.png is gone; train: bees/x.png is new",
        ),
        (
            lambda own: (own / "train/bees/1.png").rename(own / "train/ants/1b.png"),
            "train: bees/1.png is gone; train: ants/1b.png is new",
        ),
    ],
    ids=["replaced", "replaced in val", "renamed", "moved"],
)
def test_other_images_of_the_same_number_are_refused(
    change: Callable[[Path], object], says: str, images: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(images, own)
    folder = stopped(own, tmp_path)
    before = state_files(folder)
    change(own)
    with pytest.raises(RunError, match=f"{folder.name}: the images are not those .*{says}"):
        resume("numpy", folder)
    assert state_files(folder) == before


def test_the_same_images_elsewhere_and_touched_are_not_refused(
    images: Path, tmp_path: Path
) -> None:
    run("numpy", demanding("numpy", images), tmp_path / "whole")
    folder = stopped(images, tmp_path)
    moved = tmp_path / "moved"
    shutil.copytree(images, moved, copy_function=shutil.copyfile)
    os.utime(moved / "train/bees/1.png", ns=(1, 1))
    resume("numpy", folder, overrides=[f"dataset.path={moved}"])
    assert outcome(folder) == outcome(tmp_path / "whole")


def test_names_in_other_code_points_are_the_same_names(images: Path, tmp_path: Path) -> None:
    composed = "k\N{LATIN SMALL LETTER A WITH DIAERESIS}fer"
    decomposed = normalize("NFD", composed)
    own = tmp_path / "own"
    shutil.copytree(images, own)
    for split in ("train", "val"):
        (own / split / "cats").rename(own / split / composed)
        (own / split / composed / "1.png").rename(own / split / composed / f"{composed}.png")
    run("numpy", demanding("numpy", own), tmp_path / "whole")
    folder = stopped(own, tmp_path)
    for split in ("train", "val"):
        (own / split / composed).rename(own / split / decomposed)
        inside = own / split / decomposed
        (inside / f"{composed}.png").rename(inside / f"{decomposed}.png")
    resume("numpy", folder)
    assert outcome(folder) == outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    "content", ["", "[]\n", '{"format": 1}\n[1]\n', '{"format": 1}\n', "a pipe"]
)
def test_a_damaged_list_of_images_is_named(content: str, images: Path, tmp_path: Path) -> None:
    folder = stopped(images, tmp_path)
    path = folder / "images.jsonl"
    path.unlink()
    if content == "a pipe":
        os.mkfifo(path)
    else:
        path.write_text(content)
    with pytest.raises(RunError, match=r"images.jsonl:\d+: is no list|the images are not those"):
        resume("numpy", folder)
    path.unlink()
    assert resume("numpy", folder).history
    assert path.exists()


@pytest.mark.parametrize("file", ["checkpoint.json", "model.safetensors", "optimizer.safetensors"])
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


def stopped(images: Path, tmp_path: Path) -> Path:
    """Returns the folder of a run that was stopped after five of twelve steps."""
    folder = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        run("numpy", demanding("numpy", images), folder, observers=[StopAt(5)])
    return folder
