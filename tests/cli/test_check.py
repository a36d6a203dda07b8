"""``isotune check``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tiny import experiment


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Five different images of each of two classes, and one to validate on."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 1)):
        for name in ("ants", "bees"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def checked(images: Path, tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(experiment(images)))
    return path


def test_check_succeeds_where_nothing_is_wrong(isotune, checked: Path) -> None:
    result = isotune("check", checked, "--strict", "--figure", "figure.png")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["class", "train", "val", "total"]
    assert lines[-1] == "nothing is wrong with these images"
    assert "figure.png is not written: no finding is about an image" in result.stderr
    assert not Path("figure.png").exists()


def test_check_fails_for_errors_and_for_warnings_if_strict(
    isotune, checked: Path, images: Path
) -> None:
    ants = images / "train/ants"
    (ants / "a\x1b[2Jb\n.png").write_bytes((ants / "0.png").read_bytes())
    result = isotune("check", checked, "--figure", "figure.png")
    assert result.exit_code == 0, result.output
    assert "warning: images that equal another" in result.stdout
    assert "train/ants/0.png = train/ants/a\\x1b[2Jb\\n.png" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.splitlines()[-2:] == ["0 errors, 1 warning", "figure.png"]
    assert Path("figure.png").read_bytes().startswith(b"\x89PNG")
    assert isotune("check", checked, "--strict").exit_code == 1
    (ants / "1.png").write_bytes(b"no image")
    result = isotune("check", checked)
    assert result.exit_code == 1
    assert "error: images that cannot be read" in result.stdout
    assert "dataset.broken: skip" in result.stdout
    assert isotune("check", checked, "--set", "dataset.broken=skip").exit_code == 0


def test_check_prints_json(isotune, checked: Path, images: Path) -> None:
    (images / "train/ants/0.png").write_bytes(b"no image")
    result = isotune("check", checked, "--json", "--figure", "figure.png")
    assert result.exit_code == 1
    plain = json.loads(result.stdout)
    assert plain["counts"] == {"train": [5, 5], "val": [1, 1]}
    (finding,) = plain["findings"]
    (offender,) = finding["offenders"]
    assert offender["images"][0]["identity"] == str(images / "train/ants/0.png")


def test_check_refuses_a_wrong_call_before_it_looks(isotune, checked: Path) -> None:
    result = isotune("check", checked, "--figure", "figure.jpg")
    assert result.exit_code == 2
    assert "should end in .png, .pdf, .svg" in result.stderr
    result = isotune("check", checked, "--set", "dataset.path=nowhere")
    assert result.exit_code == 2
    assert "there is no such dataset folder" in result.stderr
