"""Whether a dataset can provide what an experiment asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isotune.catalogue.entries import catalogue
from isotune.errors import DatasetError, SpecError
from isotune.interfaces.trainer import TrainingPlan
from isotune.metrics import METRICS
from isotune.spec.load import load_spec
from isotune.spec.loss import LossSpec
from isotune.spec.optimizer import SGDSpec
from isotune.training.plan import (
    check_monitors,
    check_targets,
    class_weights,
    lr_scales,
    mention_unseen_classes,
)
from several_labels import several
from tiny import experiment

CLASSES = ("ants", "bees", "cats")


@pytest.mark.parametrize("field", ["checkpoint", "early_stopping", "schedule"])
def test_a_monitor_without_a_value_on_the_validation_images_is_refused(field: str) -> None:
    name = {"name": "reduce_on_plateau"} if field == "schedule" else {}
    changes = {"metrics": ["roc_auc"], field: {**name, "monitor": "val_roc_auc"}}
    spec = load_spec(experiment(Path("images"), **changes))
    says = rf"{field}.monitor: val_roc_auc has no value on these .*, which are of cats only"
    with pytest.raises(SpecError, match=says):
        check_monitors(spec, CLASSES, np.array([2, 2, 2], np.int32))
    check_monitors(spec, CLASSES, np.array([2, 1, 2], np.int32))


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_value_on_images_of_all_classes(name: str) -> None:
    changes = {"metrics": [name], "checkpoint": {"monitor": f"val_{name}"}}
    if METRICS[name].applies(False):
        spec = load_spec(experiment(Path("images"), **changes))
        check_monitors(spec, CLASSES, np.array([2, 0, 1], np.int32))
    if METRICS[name].applies(True):
        spec = load_spec(several(Path("table.csv"), **changes))
        check_monitors(spec, CLASSES, np.array([[1, 1, 0], [0, 0, 1]], np.float32))
        if name == "mean_average_precision":
            with pytest.raises(SpecError, match=r"has no value on .*, which are of no class only"):
                check_monitors(spec, CLASSES, np.zeros((2, 3), np.float32))


def test_a_format_that_is_wrong_about_its_labels_is_named() -> None:
    one, many = np.zeros(2, np.int32), np.zeros((2, 3), np.float32)
    folder, table = load_spec(experiment(Path("images"))), load_spec(several(Path("table.csv")))
    check_targets(folder, one)
    check_targets(table, many)
    with pytest.raises(DatasetError, match=r"format: 'folder' reads several labels an image, but"):
        check_targets(folder, many)
    with pytest.raises(DatasetError, match=r"format: 'table' reads one label an image, but its"):
        check_targets(table, one)


@pytest.mark.parametrize(("weight", "found"), [(1e-60, "0"), (1e60, "inf")])
def test_a_class_weight_outside_float32_is_refused(weight: float, found: str) -> None:
    loss = LossSpec(class_weights={"ants": 1.0, "bees": weight, "cats": 2.0})
    says = rf"the weight of 'bees' is {weight:g}, which is {found} in float32"
    with pytest.raises(SpecError, match=says.replace("+", r"\+")):
        class_weights(loss, CLASSES, np.array([0, 1, 2], np.int32))


def test_a_class_without_training_images_is_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    mention_unseen_classes(CLASSES, np.array([0, 2, 1], np.int32))
    assert not caplog.messages
    mention_unseen_classes(CLASSES, np.array([2, 2], np.int32))
    says = "no training image is of ants, bees: a class without any cannot be learned."
    assert caplog.messages == [says]


@pytest.mark.parametrize(
    ("field", "backbone", "numbers"),
    [
        ("lr_decay_per_stage", "swin_t", {"head.bias": 0, "norm.bias": 1, "features.0.0.bias": 5}),
        ("lr_decay_per_block", "swin_t", {"head.bias": 0, "norm.bias": 1, "features.0.0.bias": 13}),
        (
            "lr_decay_per_block",
            "swin_t",
            {"features.3.0.norm1.bias": 10, "features.2.norm.bias": 10},
        ),
        ("lr_decay_per_block", "maxvit_t", {"blocks.3.layers.1.x": 1, "blocks.2.layers.4.x": 3}),
        ("lr_decay_per_block", "vit_b_16", {"encoder.ln.bias": 1, "class_token": 13}),
    ],
)
def test_rates_decay_from_the_head_to_the_images(
    field: str, backbone: str, numbers: dict[str, int]
) -> None:
    optimizer = SGDSpec(**{field: 0.75})
    plan = TrainingPlan(optimizer, lr_scales=lr_scales(optimizer, catalogue()[backbone]))
    found = {name: plan.lr_scale(name) for name in numbers}
    assert found == {name: 0.75**number for name, number in numbers.items()}


def test_a_backbone_without_blocks_is_refused() -> None:
    says = "backbone 'resnet18' names no blocks; use lr_decay_per_stage"
    with pytest.raises(SpecError, match=says):
        lr_scales(SGDSpec(lr_decay_per_block=0.75), catalogue()["resnet18"])
