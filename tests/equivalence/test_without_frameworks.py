"""Traces of two frameworks, compared where neither is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from isotune.equivalence.certificates.file import read_certificate
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import Recording
from isotune.equivalence.traces.file import write_trace
from isotune.spec.load import load_spec
from tiny import experiment, make_images

BLOCKED = "torch,torchvision,mindspore,isotune_torch,isotune_mindspore"

COMPARE = """
import sys

blocked = sys.argv[1].split(",")

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked by the test", name=name)

sys.meta_path.insert(0, Refuse())
from isotune.cli import main

sys.argv = ["isotune", "certify", *sys.argv[2:]]
main()
"""


def test_traces_of_two_frameworks_are_compared_without_either(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", size=32)
    changes = {"backbone": {"name": "lenet", "weights": "none"}, "epochs": 1}
    transforms = {"train": [{"random_crop": 32}], "val": [{"resize": [32, 32]}]}
    spec = load_spec({**experiment(images), "transforms": transforms, **changes})
    paths = []
    for backend in zoo.FRAMEWORKS:
        pytest.importorskip(backend)
        trace = record(spec, backend, "cpu", zoo.plugins(backend), Recording(drift=2))
        paths.append(tmp_path / f"{backend}.trace")
        write_trace(paths[-1], trace)
    command = [sys.executable, "-c", COMPARE, BLOCKED, *map(str, paths), "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = read_certificate(tmp_path / "certificate.json")
    assert found.verdict == "equal", done.stdout
    assert [side.backend for side in found.sides] == zoo.FRAMEWORKS
    assert found.same_start and found.steps[0].same_batch
    assert "torch on cpu" in done.stdout
