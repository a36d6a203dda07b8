"""``--set``: any field, any depth."""

from __future__ import annotations

from typing import Any

import pytest

from isotune.errors import SpecError
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.fields import kinds, shorthand
from isotune.spec.load import dump_spec, load_spec

SPEC: dict[str, Any] = {
    "name": "small",
    "dataset": {"path": "images"},
    "transforms": {"train": [{"random_crop": 8}, "random_horizontal_flip"]},
    "batch_size": 4,
    "backbone": "resnet18",
    "freeze": ["layer1", "layer2"],
    "optimizer": "sgd",
    "schedule": "constant",
    "epochs": 2,
}


def field(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data[int(key) if isinstance(data, list) else key]
    return data


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("optimizer.lr=2e-2", 0.02),
        ("optimizer={name: adam, betas: [0.5, 0.6]}", None),
        ("optimizer.name=adam", "adam"),
        ("backbone.weights=none", "none"),
        ("backbone=lenet", None),
        ("freeze.batch_norm=train", "train"),
        ("freeze.parameters=backbone", "backbone"),
        ("freeze.unfreeze.3=all", "all"),
        ("schedule={name: cosine}", None),
        ("schedule.warmup.epochs=0.5", 0.5),
        ("early_stopping.patience=3", 3),
        ("loss.class_weights.no=2", 2.0),
        ("dataset.url=https://example.org/a.zip?b=c", "https://example.org/a.zip?b=c"),
        ("workers=", None),
        ("seed=7", 7),
    ],
)
def test_sets(override: str, value: Any) -> None:
    path = override.partition("=")[0]
    spec = dump_spec(load_spec(SPEC, [override]))
    assert value is None or field(spec, path) == value
    assert spec != dump_spec(load_spec(SPEC)) or value is None


def test_positions_and_shorthands_in_lists() -> None:
    spec = load_spec(
        SPEC,
        [
            "freeze.1=layer3",
            "transforms.train.0.random_crop=6",
            "transforms.train.1.p=0.25",
        ],
    )
    assert spec.freeze.parameters == ["layer1", "layer3"]
    assert (
        spec.transforms.train
        == load_spec(
            {
                **SPEC,
                "transforms": {"train": [{"random_crop": 6}, {"random_horizontal_flip": 0.25}]},
            }
        ).transforms.train
    )


@pytest.mark.parametrize("position", ["9" * 5000, "²", "-1", "9"])
def test_a_position_that_is_not_in_the_list(position: str) -> None:
    with pytest.raises(
        SpecError, match=r"transforms.train is a list of \d, so '.* should be a"
    ) as e:
        load_spec(SPEC, [f"transforms.train.{position}=x"])
    assert len(str(e.value)) < 2000


def test_the_last_one_wins_and_the_source_stays() -> None:
    assert load_spec(SPEC, ["epochs=3", "epochs=4"]).epochs == 4
    assert load_spec(load_spec(SPEC), ["epochs=5"]).epochs == 5
    assert SPEC["epochs"] == 2


def test_every_short_form_can_be_opened() -> None:
    found = {name: shorthand((name,)) for name in ExperimentSpec.model_fields}
    assert {name: key for name, key in found.items() if key} == {
        "dataset": "path",
        "backbone": "name",
        "head": "name",
        "freeze": "parameters",
        "loss": "name",
        "optimizer": "name",
        "schedule": "name",
    }
    assert shorthand(("transforms", "train", 0)) == "name"
    assert shorthand(("transforms", "train")) is shorthand(("transforms", 0)) is None


def test_kinds_are_those_of_the_models() -> None:
    assert kinds(("head",), "name") == ["linear", "mlp"]
    schedules = ["constant", "cosine", "multi_step", "one_cycle", "reduce_on_plateau", "step"]
    assert kinds(("schedule",), "name") == schedules
