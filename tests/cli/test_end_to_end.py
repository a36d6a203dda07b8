"""From a folder of images to a comparison, with each framework that is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tiny import make_images

INSTALLED = [name for name in ("torch", "mindspore") if find_spec(name)]


@pytest.mark.parametrize("backend", INSTALLED)
def test_run_evaluate_predict_compare(isotune, tmp_path: Path, backend: str):
    images = make_images(tmp_path / "lenet-images", train=5, val=3, size=32)
    spec = {
        "name": "lenet",
        "dataset": {"path": str(images)},
        "transforms": {"train": [{"resize": [32, 32]}], "val": [{"resize": [32, 32]}]},
        "batch_size": 5,
        "backbone": {"name": "lenet", "weights": "none"},
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "epochs": 2,
    }
    Path("lenet.yaml").write_text(yaml.safe_dump(spec))

    for output in ("one", "two"):
        ran = isotune("run", "lenet.yaml", "-b", backend, "-d", "cpu", "-o", output)
        assert ran.exit_code == 0, ran.output
    assert f"lenet: {backend} on cpu" in ran.stdout

    evaluated = isotune("evaluate", "one", "-d", "cpu")
    assert evaluated.exit_code == 0, evaluated.output
    accuracy = evaluated.stdout.splitlines()[3].split()[1]
    assert f"best val accuracy {accuracy}" in ran.stdout

    predicted = isotune("predict", "one", images / "val", "-d", "cpu", "--top", "3")
    assert predicted.exit_code == 0, predicted.output
    rows = [line.split() for line in predicted.stdout.splitlines()]
    assert len(rows) == 9
    right = sum(row[1] == Path(row[0]).parent.name for row in rows)
    assert f"{100 * right / 9:.2f}%" == accuracy
    assert all(abs(sum(map(float, row[2::2])) - 1) < 0.001 for row in rows)

    compared = isotune("compare", "one", "two")
    assert compared.exit_code == 0, compared.output
    # Two runs on one device are the same run.
    assert compared.stdout.splitlines()[-1].split()[-6:] == ["2", "0", "1", "0.00%", "0", "1"]
