"""``isotune find-lr``."""

from __future__ import annotations

import json
from pathlib import Path


def test_find_lr_ends_with_the_line_for_the_spec(isotune, spec: Path) -> None:
    before = {path: path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()}
    result = isotune("find-lr", spec, "-b", "numpy", "-o", "curve.png")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["suggested", "by", "learning", "rate", "smoothed", "loss"]
    assert [line[:14] for line in lines[2:4]] == ["steepest slope", "valley        "]
    assert lines[5] == "curve.png"
    assert lines[6].startswith("tiny: numpy on cpu, ")
    assert lines[7].startswith("optimizer: {name: sgd, lr: ")
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    Path("curve.png").unlink()
    after = {path: path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()}
    assert {path: after.pop(path) for path in before} == before
    assert all(path.is_relative_to(Path("home/cache").absolute()) for path in after)


def test_find_lr_as_json(isotune, spec: Path) -> None:
    call = ("find-lr", spec, "-b", "numpy", "--start", 1e-6, "--end", 1e-2, "-n", 30, "--json")
    found = json.loads(isotune(*call).stdout)
    assert found["learning_rates"][0] == 1e-6
    columns = ("learning_rates", "losses", "smoothed_losses")
    assert [len(found[name]) for name in columns] == [30] * 3
    assert found["suggested"] == float(f"{found['valley']:.2g}")
    wrong = isotune("find-lr", spec, "-b", "numpy", "-n", 3)
    assert wrong.exit_code == 2
    assert wrong.stderr == "isotune: steps is 3, but should be at least 20.\n"
    assert isotune("find-lr", spec, "-o", "curve.jpg").stderr == (
        "isotune: curve.jpg: a figure's name should end in .png, .pdf, .svg.\n"
    )
