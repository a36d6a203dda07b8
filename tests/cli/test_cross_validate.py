"""``isotune cross-validate``, and ``isotune resume`` of what it was stopped in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isotune.plugins import plugins
from stopping import StopAt


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (7, "stopped by SIGTERM after step 1, in epoch 1 of 2; everything is saved."),
        (6, "stopped by SIGTERM after training fold 1 of 3; everything is saved."),
    ],
)
def test_it_is_stopped_resumed_and_told_as_a_table(isotune, spec: Path, steps: int, says: str):
    stopper = StopAt(steps)
    plugins.register(stopper)
    try:
        stopped = isotune("cross-validate", spec, "-k", 3, "--backend", "numpy", "-o", "out")
    finally:
        plugins.unregister(stopper)
    assert stopped.stderr.splitlines()[1:] == [
        f"isotune: {says}",
        "isotune: To go on: isotune resume out",
    ]
    assert stopped.stdout.splitlines()[:2] == ["fold 1 of 3", "tiny-fold-1: numpy on cpu"]
    assert not Path("out/fold-3").exists()
    result = isotune("resume", "out")
    assert result.exit_code == 0
    assert "fold 1 of 3" not in result.stdout
    lines = result.stdout.splitlines()
    table = lines[lines.index("fold 3 of 3") :]
    heading = next(line for line in table if line.startswith("metric "))
    assert re.split("  +", heading) == ["metric", "fold 1", "fold 2", "fold 3", "mean", "std"]
    assert next(line for line in table if line.startswith("images ")).split()[1:] == ["5"] * 3
    assert "  isotune show label-errors out" in table
    assert isotune("evaluate", "out/fold-2").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cross-validate", "tiny.yaml", "-k", 1], "has 2 to 10,000 folds, not 1."),
        (["cross-validate", "tiny.yaml", "--by", "group"], "the images have no groups; "),
        (["resume", "out", "-c", "best"], "a cross-validation goes on from its last checkpoint; "),
        (["evaluate", "out"], "out/fold-1 is that of its first run."),
    ],
)
def test_wrong_calls_are_one_sentence(isotune, spec: Path, arguments: list[object], says: str):
    Path("out").mkdir()
    Path("out/cross-validation.json").touch()
    options = ["--backend", "numpy"] if arguments[0] == "cross-validate" else []
    result = isotune(*arguments, *options)
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert not Path("runs").exists() or not any(Path("runs").iterdir())
