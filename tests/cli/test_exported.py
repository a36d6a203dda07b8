"""Commands that take a run take an exported file, with onnxruntime, NumPy and Pillow alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import onnx_files
from tiny import make_images

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ALONE = """
import sys

blocked = set(sys.argv.pop(1).split(","))

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked by the test", name=name)

sys.meta_path.insert(0, Refuse())
from isotune.cli import main

sys.exit(main())
"""

FRAMEWORKS = "torch,torchvision,timm,mindspore,isotune_torch,isotune_mindspore,onnx,onnxscript"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported file; the images lie beside it."""
    return onnx_files.write(tmp_path / "model.onnx", make_images(tmp_path / "images"))


def test_a_file_is_used_without_a_framework(exported: Path, tmp_path: Path) -> None:
    def alone(*arguments: object) -> str:
        call = [sys.executable, "-c", ALONE, FRAMEWORKS, *map(str, arguments)]
        done = subprocess.run(call, capture_output=True, text=True, check=False, env=os.environ)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    image = tmp_path / "images/val/bees/0.png"
    [line] = map(json.loads, alone("predict", exported, image, "-f", "jsonl").splitlines())
    assert line["predictions"][0]["class"] == "bees"
    result = json.loads(alone("evaluate", exported, "--json"))
    assert (result["images"], result["accuracy"]) == (6, 1.0)


@pytest.mark.parametrize("name", ["predictions", "mistakes", "label-errors", "confusion"])
def test_figures_lie_beside_the_file(isotune, exported: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    result = isotune("show", name, exported)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(exported.with_name(f"model-{name}-val.png"))


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("model.onnx", ("--backend", "torch"), "--backend cannot be chosen for an exported file"),
        ("model.onnx", ("-d", "cuda", "-c", "last"), "--device and --checkpoint cannot be chosen"),
        ("none.onnx", (), "none.onnx: cannot be read: No such file"),
        ("folder.onnx", (), "folder.onnx: is not the folder of a run"),
        ("pipe.onnx", (), "pipe.onnx: cannot be read: is not a regular file"),
        ("empty.onnx", (), "empty.onnx: is not an ONNX file of Isotune: it has no graph"),
        ("text.ONNX", (), "text.ONNX: is not an ONNX file of Isotune: it is damaged or cut off"),
        (
            "small.onnx",
            (),
            "its graph takes images of 7 x 7 pixels, and its transforms make 8 x 8.",
        ),
        ("other.onnx", (), "other.onnx: has no metadata of Isotune; `isotune export RUN "),
    ],
)
def test_what_is_no_exported_file_is_one_sentence(
    isotune, exported: Path, tmp_path: Path, name: str, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.ONNX").write_bytes(b"no graph at all")
    onnx_files.write(tmp_path / "small.onnx", tmp_path / "images", onnx_files.model(size=7))
    (tmp_path / "other.onnx").write_bytes(onnx_files.model().SerializeToString())
    result = isotune("evaluate", tmp_path / name, *options)
    assert result.exit_code == 2
    assert words in result.stderr and result.stderr.count("\n") == 1, result.stderr
