"""What a spec leaves to its backbone, and what the backbone cannot take."""

from __future__ import annotations

from pathlib import Path

import pytest

from isotune.catalogue.entries import catalogue
from isotune.catalogue.resolve import resolve
from isotune.errors import SpecError
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec, load_spec
from tiny import experiment


def spec(train: int, val: int) -> ExperimentSpec:
    transforms = {"train": [{"random_crop": train}], "val": [{"resize": [val, 300]}]}
    return ExperimentSpec.model_validate(experiment(Path("images"), transforms=transforms))


@pytest.mark.parametrize(
    ("name", "train", "val", "message"),
    [
        ("alexnet", 62, 64, r"transforms\.train: .* 62 x 62 .* 'alexnet' takes at least 63 pixels"),
        ("vgg16", 32, 31, r"transforms\.val: .* 31 x 300 .* 'vgg16' takes at least 32 pixels"),
        ("lenet", 36, 32, r"transforms\.train: .* 36 x 36 .* 'lenet' takes 32 to 35 pixels"),
    ],
)
def test_images_that_do_not_fit_are_told(name: str, train: int, val: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        resolve(spec(train, val), catalogue()[name])


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18"])
def test_images_that_fit_stay_as_they_are(name: str) -> None:
    wanted = spec(63, 63)
    assert resolve(wanted, catalogue()[name]).transforms == wanted.transforms


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_the_usual_transforms_fit(name: str) -> None:
    made = experiment(Path("images"))
    del made["transforms"]
    resolved = resolve(ExperimentSpec.model_validate(made), catalogue()[name])
    assert resolved.transforms.train and resolved.transforms.val


def test_weights_decide_what_a_spec_leaves_open() -> None:
    spec = load_spec(
        {
            "name": "swag",
            "dataset": {"path": "none"},
            "batch_size": 2,
            "backbone": {"name": "vit_b_16", "weights": "imagenet_swag"},
            "optimizer": "sgd",
            "epochs": 1,
        }
    )
    entry = catalogue()["vit_b_16"].with_weights(spec.backbone.weights)
    found = dump_spec(resolve(spec, entry))["transforms"]
    assert found["val"][0] == {
        "name": "resize",
        "size": 384,
        "interpolation": "bicubic",
        "max_size": None,
    }
    assert found["val"][1]["size"] == found["train"][0]["size"] == 384
    smaller = spec.model_copy(update={"transforms": resolve(spec, catalogue()["lenet"]).transforms})
    with pytest.raises(SpecError, match=r"32 x 32 pixels, but 'vit_b_16' takes 384 pixels a side"):
        resolve(smaller, entry)
