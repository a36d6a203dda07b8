"""``isotune fit``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny import make_images


def test_fit_says_what_came_out_and_what_to_do_next(isotune):
    make_images(Path("images"), train=8, val=4)
    result = isotune("fit", "images", "-b", "numpy", "-o", "run", "--set", "epochs=3")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (best,) = [line for line in lines if line.startswith("best epoch")]
    assert "val_accuracy" in best
    assert f"  isotune show mistakes {Path('run')}" in lines
    assert Path("run/fit.yaml").is_file()


def test_the_spec_alone_is_printed_or_written_and_runs(isotune):
    make_images(Path("images"), train=8, val=4)
    printed = isotune("fit", "images", "-b", "numpy", "--spec-only", "--set", "epochs=2")
    assert printed.exit_code == 0, printed.output
    Path("mine.yaml").write_text(printed.stdout)
    assert isotune("run", "mine.yaml", "-b", "numpy", "-o", "run").exit_code == 0
    written = isotune("fit", "images", "-b", "numpy", "--spec-only", "-o", "own/spec.yaml")
    assert written.stdout == "own/spec.yaml; next: isotune run own/spec.yaml\n"
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere: there is no such folder or file"),
        (["images", "--minutes", "0"], "minutes: is 0, but should be a number above 0"),
        (["images", "--spec-only", "-o", "images"], "images: is there already"),
        (["images", "--set", "dataset.path=x"], "the images are the argument of `isotune fit`"),
        (["images", "--set", "dataset=x"], "--set dataset: should set a field of it"),
        (["images", "--set", "backbone=resnet51"], "there is no backbone 'resnet51'."),
        (["images", "--set", "backbone=resnet50"], "backend 'numpy' does not have backbone"),
        (["images", "--set", "epoch=3"], "epoch is not a known key"),
        (["images", "--set", "backbone.weights=none"], None),
    ],
)
def test_mistakes_are_a_sentence(isotune, arguments: list[str], sentence: str | None):
    make_images(Path("images"))
    result = isotune("fit", *arguments, "-b", "numpy")
    if sentence is None:
        assert result.exit_code == 0, result.output
        return
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert "bug" not in result.stderr
