"""``isotune sweep`` and ``isotune show sweep`` from a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from isotune.plugins import plugins
from stopping import StopAt


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text("optimizer.lr: {low: 1e-3, high: 0.1, log: true}\nbatch_size: [3, 4]\n")
    return path


def test_it_is_stopped_resumed_told_as_a_table_and_drawn(isotune, spec: Path, space: Path):
    command = ["sweep", spec, "--space", space, "-n", 3, "--backend", "numpy", "-o", "out"]
    stopper = StopAt(8)  # in the second trial
    plugins.register(stopper)
    try:
        stopped = isotune(*command)
    finally:
        plugins.unregister(stopper)
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1] == (
        "isotune: To go on: the same command, with --output out"
    )
    assert "everything is saved" in stopped.stderr
    lines = stopped.stdout.splitlines()
    assert lines[0] == "tiny: numpy on cpu"
    assert "  features    not kept: every step runs the whole model" in lines
    assert re.fullmatch(
        r" +1/3 +0 +[\d.]+% +2 +[\d.]+ s  optimizer\.lr [\d.e-]+, batch_size \d  best", lines[-1]
    )
    result = isotune(*command)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines if re.match(r" +\d/3 ", line)] == ["1", "2"]
    heading = next(line for line in lines if line.startswith("trial "))
    assert re.split("  +", heading) == [
        "trial", "accuracy", "epoch", "seconds", "optimizer.lr", "batch_size"
    ]  # fmt: skip
    assert "3 trials: 3 complete" in lines
    assert isotune("run", "out/best.yaml", "--backend", "numpy", "-o", "again").exit_code == 0
    best = json.loads(Path("again/summary.json").read_text())["best"]["val_accuracy"]
    trials = json.loads(Path("out/trials.json").read_text())["trials"]
    assert best == max(trial["value"] for trial in trials)

    first_best = min(trial["number"] for trial in trials if trial["value"] == best)
    other = 1 if first_best == 0 else 0
    told = isotune("evaluate", f"out/trials/{other:04d}").stderr
    assert "no checkpoint yet. A sweep keeps those of its best trial, and with --keep" in told

    drawn = isotune("show", "sweep", "out")
    assert drawn.exit_code == 0, drawn.output
    assert drawn.stdout.splitlines()[-2:] == ["3 trials: 3 complete", "out/figures/sweep.png"]
    assert Path("out/figures/sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is not the folder of a sweep (it has no sweep.json)."),
        ("[]", "trials.json: is damaged: it should be a mapping of names to values."),
        ('{"monitor": "val_accuracy", "trials": []}', "no trial has ended with a value yet"),
        ('{"monitor": "val_accuracy", "trials": [{"number": -1}]}', "trials.0.number is -1, but"),
        ('{"monitor": "val_x", "trials": []}', "trials.json: is damaged: monitor is 'val_x', but"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(isotune, content: str | None, says: str):
    Path("out").mkdir()
    if content is not None:
        described = {
            "backend": "numpy", "study": "s", "database": None, "monitor": "val_accuracy",
            "sampler": "tpe", "pruner": "none", "seed": 0, "spec": {}, "space": {"epochs": [1]},
        }  # fmt: skip
        Path("out/sweep.json").write_text(json.dumps(described))
        Path("out/trials.json").write_text(content)
    result = isotune("show", "sweep", "out")
    assert result.exit_code == 2
    assert says in result.stderr and len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-n", 0], "trials: should be 1 to 100,000, not 0."),
        (["--sampler", "cmaes"], "'cmaes' is not one of"),
        (["--space", "gone.yaml"], "gone.yaml: cannot be read: No such file or directory."),
        (["--sampler", "grid"], "space.yaml:1: optimizer.lr has no step, so that a grid never"),
        (["--storage", "postgresql://u:hunter2@localhost/x"], "postgresql://localhost/x: cannot"),
    ],
)
def test_wrong_calls_are_one_sentence(
    isotune, spec: Path, space: Path, arguments: list[object], says: str
):
    result = isotune("sweep", spec, "--space", space, "--backend", "numpy", *arguments)
    assert result.exit_code in (1, 2)
    assert says in result.stderr and "hunter2" not in result.output
    assert not Path("runs").exists() or not any(Path("runs").iterdir())
