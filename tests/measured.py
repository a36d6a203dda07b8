"""What a measurement in another process needs: the NumPy backend installed, a loop to compare."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import numpy_backend

LOOP = """\
import json, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if given["--part"] == "step":
    figures = {"first_step": 0.5, "step_ms": 10.0, "step_ms_iqr": 1.0, "versions": {}}
else:
    figures = {"images_per_second": {"train": 50.0 + int(given["--workers"]), "val": 60.0}}
print("hello")
print(json.dumps({**figures, "peak_memory_mib": 100.0, "options": given}))
"""


def install_numpy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the example backend for processes that are started from now on."""
    about = folder / "isotune_numpy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: isotune-numpy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[isotune]\nnumpy = numpy_backend.plugin\n")
    example = Path(numpy_backend.__file__).parents[1]
    path = [str(folder), str(example), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(part for part in path if part))


def make_loops(folder: Path) -> Path:
    """Writes a loop "by hand" for the NumPy backend and returns `folder`."""
    folder.mkdir()
    (folder / "numpy_loop.py").write_text(LOOP)
    return folder
