"""A training batch of one image, of which BatchNorm gets one value per channel."""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

import isotune
from isotune import hookimpl
from isotune.errors import SpecError
from isotune.interfaces.backbone import BackboneEntry
from isotune.plugins import Plugins
from tiny import experiment, make_images
from zoo import FRAMEWORKS, run

SIZED = [{"resize": [1, 1]}]
MAPS_OF_ONE = {
    "transforms": {"train": SIZED, "val": SIZED},
    "backbone": {"name": "tiny_bn", "weights": "none"},
}
"""``tiny_bn`` on images of 1 x 1, whose maps have that size, too."""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Nine training images: 4, 4 and 1."""
    return make_images(tmp_path / "images")


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "is 4, which leaves a last batch of one of 9 training images, .*: set drop_last"),
        ({"accumulate": 3}, "is 4, which leaves a last batch of one of 9"),
        ({"batch_size": 1}, "is 1, so that .*: take 2 or more"),
        ({"freeze": {"parameters": "backbone", "batch_norm": "train"}}, "is 4, which leaves"),
        ({"freeze": {"parameters": "backbone", "unfreeze": {2: "*"}}}, "is 4, which leaves"),
    ],
    ids=["rest", "accumulate", "one", "batch-norm-trains", "unfreezes"],
)
def test_it_is_refused_before_the_first_step(
    backend: str, changes: dict[str, Any], says: str, images: Path, tmp_path: Path
) -> None:
    spec = experiment(images, **{**MAPS_OF_ONE, **changes})
    layer = r"BatchNorm layer 'bn' gets one value per channel and cannot compute a variance"
    with pytest.raises(SpecError, match=f"^batch_size: {says}") as error:
        run(backend, spec, tmp_path / "run")
    assert re.search(layer, str(error.value))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shards": 3}, "is 3, which leaves one image of a batch of 4 to a shard, .*: take fewer"),
        (
            {"batch_size": 6, "shards": 2},
            "is 2, which leaves one image of the last batch of 3 to a shard, .*: set drop_last",
        ),
        (
            {"batch_size": 99, "shards": 5},
            "is 5, which leaves one image of a batch of 9 to a shard",
        ),
    ],
    ids=["every", "rest", "only"],
)
def test_a_shard_of_one_image_is_refused(
    changes: dict[str, Any], says: str, images: Path, tmp_path: Path
) -> None:
    spec = experiment(images, **{**MAPS_OF_ONE, **changes})
    with pytest.raises(SpecError, match=f"^shards: {says}"):
        run("torch", spec, tmp_path / "run")


@pytest.mark.parametrize("backend", FRAMEWORKS)
@pytest.mark.parametrize(
    "changes",
    [
        {"drop_last": True},
        {"freeze": {"parameters": "backbone", "unfreeze": {3: "*"}}},
        {"transforms": {"train": [{"resize": [1, 2]}], "val": [{"resize": [1, 2]}]}},
    ],
    ids=["dropped", "frozen", "larger"],
)
def test_it_is_trained_where_every_variance_exists(
    backend: str, changes: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    spec = experiment(images, **{**MAPS_OF_ONE, **changes})
    assert len(run(backend, spec, tmp_path / "run").history) == 2


def flat_torch() -> Any:
    from torch import nn

    layers = {"flatten": nn.Flatten(), "hidden": nn.Linear(192, 4), "norm": nn.BatchNorm1d(4)}
    return nn.Sequential(OrderedDict(**layers, fc=nn.Linear(4, 3)))


def flat_mindspore() -> Any:
    from mindspore import nn

    layers = {"flatten": nn.Flatten(), "hidden": nn.Dense(192, 4), "norm": nn.BatchNorm1d(4)}
    return nn.SequentialCell(OrderedDict(**layers, fc=nn.Dense(4, 3)))


FLAT = BackboneEntry("flat", "fc", builders={"torch": flat_torch, "mindspore": flat_mindspore})


class Flat:
    @hookimpl
    def isotune_backbones(self) -> list[BackboneEntry]:
        return [FLAT]


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_a_layer_on_features_is_found_as_well(backend: str, images: Path, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    plugins = Plugins()
    plugins.register(Flat())
    spec = experiment(images, backbone={"name": "flat", "weights": "none"})
    with pytest.raises(SpecError, match="BatchNorm layer 'norm' gets one value per channel"):
        isotune.run(spec, backend=backend, output=tmp_path / "run", plugins=plugins)
