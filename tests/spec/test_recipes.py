"""The recipes that come with the package: complete, honest and ready to run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

import isotune
from cifar import make_cifar10
from isotune.catalogue.entries import catalogue, find_backbone
from isotune.runs.checkpoints import CheckpointStore
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec
from isotune.spec.recipes import describe, names, text
from tiny import CLASSES, make_images

EXPERIMENTS = {
    "ants-and-bees",
    "ants-and-bees-features",
    "cars-and-bicycles",
    "cifar10-alexnet",
    "cifar10-lenet",
    "cifar10-resnet50",
    "wolves-and-dogs",
    "wolves-and-dogs-checkpoint",
    "wolves-and-dogs-features",
}


def test_the_source_experiments_are_all_there():
    assert set(names()) == EXPERIMENTS


@pytest.mark.parametrize("name", names())
def test_a_recipe_tells_what_it_is_and_where_it_comes_from(name: str):
    recipe = describe(name)
    assert len(recipe.description) > 20
    assert re.search(r"https://\S+$", recipe.source)
    # A figure, with whose it is; or that there is none.
    assert re.search(r"published|expects|measured", recipe.reaches)
    assert re.search(r"\d\.\d|no accuracy", recipe.reaches)
    assert shlex.split(recipe.command)[:3] == ["isotune", "run", name]


@pytest.mark.parametrize("name", names())
def test_a_recipe_is_a_spec_of_its_name_with_a_backbone_that_exists(name: str):
    spec = load_spec(name)
    assert spec.name == name
    entry = find_backbone(spec.backbone.name, catalogue())
    published = {*entry.weights, "none"}
    assert spec.backbone.weights in published or spec.backbone.url


@pytest.mark.parametrize("name", names())
def test_what_a_recipe_says_to_set_can_be_set(name: str):
    comment = " ".join(line[1:].strip() for line in text(name).splitlines() if line[:1] == "#")
    overrides = [word.rstrip("`.") for word in re.findall(r"--set (\S+)", comment)]
    assert load_spec(name, overrides) != load_spec(name) or not overrides


def small_dataset(spec: ExperimentSpec, root: Path) -> Path:
    """Writes a few images in the format and the splits of a spec: of two classes, or CIFAR's."""
    if spec.dataset.format == "cifar10":
        return make_cifar10(root, records=1)
    make_images(root, train=2, val=1, size=40)
    for split in ("train", "val"):
        shutil.rmtree(root / split / max(CLASSES))
        (root / split).rename(root / getattr(spec.dataset.splits, split))
    return root


@pytest.mark.parametrize("name", names())
def test_a_recipe_runs(name: str, tmp_path: Path):
    """With a smaller backbone without weights, and saved after every step if ever within epochs."""
    pytest.importorskip("torch")
    recipe = load_spec(name)
    small = "lenet" if recipe.backbone.name == "lenet" else "mobilenet_v2"
    overrides = {
        "dataset.path": small_dataset(recipe, tmp_path / "images"),
        "backbone": f"{{name: {small}, weights: none}}",
        "batch_size": 2,
        "epochs": 1,
        "checkpoint.every_steps": 1 if recipe.checkpoint.every_steps else "null",
    }
    settings = [f"{key}={value}" for key, value in overrides.items()]
    run = isotune.run(
        name, backend="torch", device="cpu", overrides=settings, output=tmp_path / "run"
    )
    assert run.best.epoch == 1
    assert run.evaluate().accuracy == run.best.val_accuracy
    names = CheckpointStore(run.folder.checkpoints).index().kept
    kept = [name for name in names if name.startswith("step-")]
    assert bool(kept) == bool(recipe.checkpoint.every_steps)
    if best := recipe.checkpoint.save_best_as:
        assert (run.path / best).stat().st_size > 1_000_000
