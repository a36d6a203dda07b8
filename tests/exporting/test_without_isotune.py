"""The code of the documentation that uses an exported file without Isotune."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import isotune
import onnx_files
from isotune.spec.load import dump_spec, load_spec
from tiny import experiment, make_images

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.mark.parametrize("size", [(61, 47), (40, 53)])
def test_the_documented_lines_predict_what_isotune_does(
    size: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    [code] = re.findall(r"```python\n(import json.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert "isotune" not in code
    images = make_images(tmp_path / "images")
    transforms = {"val": [{"resize": 40}, {"center_crop": 32}]}
    spec = dump_spec(load_spec(experiment(images, transforms=transforms)))
    graph, usual = onnx_files.model(size=32), spec["transforms"]["val"]
    onnx_files.write(tmp_path / "bees.onnx", images, graph, spec=spec, transforms=usual)
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels.cumsum(1, dtype=np.uint8)).save(tmp_path / "photo.jpg")

    monkeypatch.chdir(tmp_path)
    exec(code, {})
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    expected = dict(isotune.open_exported("bees.onnx").predict("photo.jpg"))
    assert {name: float(value) for name, value in printed.items()} == pytest.approx(
        expected, abs=1e-6
    )
