"""A tiny run whose dataset is as nasty as a file system allows."""

from __future__ import annotations

from pathlib import Path

import pytest

import isotune
from isotune.experiment.result import Run
from isotune.exporting.card.facts import CardFacts, gather
from tiny import experiment, make_images, numpy_plugins

HOSTILE = (
    "<script>alert(1)<",
    "a|b`c``d *e* _f_ ~~g~~ $h$ \\| \\",
    "[link](javascript:alert(1)) ![x](https:x) &lt; \"' onerror=x",
    "line\nbreak\n\n# heading\x1b[31m",
)
"""Names of classes that Markdown, HTML or a terminal could take for something else."""


def hostile_run(root: Path) -> Run:
    """Returns a run of one epoch on images of hostile classes, with some mistakes."""
    images = make_images(root / "www.images `x`", train=6, val=6)
    for split in ("train", "val"):
        for old, new in zip(("ants", "bees", "cats"), HOSTILE, strict=False):
            (images / split / old).rename(images / split / new)
        (images / split / HOSTILE[3]).mkdir()
        for n in range(3):
            name = f"{HOSTILE[n]}/{n}.png"
            (images / split / name).rename(images / split / HOSTILE[3] / f"<b>{n}|.png")
    spec = experiment(images, epochs=2, metrics=["macro_f1"])
    return isotune.run(spec, backend="numpy", output=root / "run", plugins=numpy_plugins())


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return hostile_run(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="session")
def facts(run: Run) -> CardFacts:
    return gather(run, None)
