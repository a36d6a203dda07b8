"""Plugins as they are installed: entry points, good ones beside broken ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

import numpy_backend
from tiny import experiment, make_images

ENTRY_POINTS = """\
[isotune]
numpy = numpy_backend.plugin
absent = no_such_module
crashing = crashing
empty = empty

[isotune.extensions]
crashing = crashing
misspelt = misspelt
numpy = logbook
"""
MODULES = {
    "crashing": "raise SystemError('undefined symbol')",
    "empty": "",
    "misspelt": "from isotune import hookimpl\n@hookimpl\ndef isotune_epoch_endet(): ...",
    "logbook": "from isotune import hookimpl\n@hookimpl\n"
    "def isotune_epoch_ended(event): print('epoch', event.metrics.epoch)",
}
SCRIPT = """
import sys, isotune
run = isotune.run("spec.yaml", backend="numpy")
print(run.backend.name, "torch" in sys.modules or "mindspore" in sys.modules)
for name in ("absent", "crashing", "empty"):
    try:
        isotune.plugins.plugins.open_backend(name)
    except isotune.BackendError as error:
        print(error)
print(isotune.plugins.plugins.backend_names())
"""


def test_real_entry_points(tmp_path: Path) -> None:
    """A distribution with good and bad plugins, in an interpreter of its own."""
    about = tmp_path / "isotune_numpy-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: isotune-numpy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    make_images(tmp_path / "images")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(experiment(tmp_path / "images")))

    path = os.pathsep.join([str(tmp_path), str(Path(numpy_backend.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["epoch 1", "epoch 2", "numpy False"]
    remedy = "It comes with package 'isotune-numpy': repair that, or uninstall it."
    assert lines[3] == (
        f"plugin 'absent' cannot be imported: No module named 'no_such_module'. {remedy}"
    )
    assert lines[4] == f"plugin 'crashing' cannot be imported: undefined symbol. {remedy}"
    assert lines[5] == "plugin 'empty' does not offer a backend 'empty'."
    assert {"numpy", "absent", "crashing", "empty"} <= set(yaml.safe_load(lines[6]))
    assert "plugin 'crashing' cannot be imported: undefined symbol" in done.stderr
    assert "isotune_epoch_endet" in done.stderr
    assert "Traceback" not in done.stderr
