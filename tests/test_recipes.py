"""The recipes that come with the package: complete, honest and ready to run."""

from __future__ import annotations

import re
import shlex

import pytest

from isotune.recipes import describe, names, text
from isotune.spec.loading import load_spec
from isotune.weights.catalogue import catalogue, find_backbone

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
