"""What is chosen for which images and devices: a pure function, so nothing is trained here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from isotune.catalogue.entries import catalogue
from isotune.fitting.backbones import Candidate
from isotune.fitting.choose import choose, name_of
from isotune.fitting.look import Data
from isotune.fitting.measure import Machine
from isotune.fitting.text import overridden, spec_text
from isotune.spec.document import read_document
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec

DATA = Data(
    fields={"format": "folder", "path": "insects"},
    classes=("ants", "bees"),
    counts=(100, 120),
    train=220,
    val=80,
    multi_label=False,
    looked=220,
    unreadable=0,
    side=400.0,
    long=0.01,
    decoding=0.004,
)
CPU = Machine("numpy", "cpu", 2, ("fp32",), forward=0.013, first=0.5)
GPU = Machine("numpy", "cuda:0", 16, ("fp32", "tf32", "bf16"), forward=0.0005, first=2.0)
ENTRY = catalogue()["resnet50"].with_weights("imagenet")
RESNET = Candidate(ENTRY, "imagenet", 0.7613, 4.089)


def chosen(
    data: Data = DATA,
    machine: Machine = CPU,
    seconds: float = 300.0,
    candidate: Candidate = RESNET,
) -> ExperimentSpec:
    """Returns the spec as it is read from its text."""
    text = spec_text(["written by a test"], choose(data, candidate, machine, seconds))
    return load_spec(read_document(text, "fit.yaml").data)


def many(**changes: Any) -> Data:
    return replace(DATA, counts=(20_000, 20_000), train=40_000, val=5000, decoding=2e-4, **changes)


def test_few_images_train_a_classifier_on_features() -> None:
    spec = chosen()
    assert (spec.freeze.parameters, spec.freeze.unfreeze) == ("backbone", {})
    assert spec.cache.views == 4
    assert spec.checkpoint.monitor == "val_accuracy"
    assert (spec.transforms.val or ())[-1].output(None) == (288, 288)
    assert chosen(replace(DATA, side=100.0)).transforms.val is None


def test_more_images_unfreeze_from_the_last_stage_down_as_far_as_the_time_goes() -> None:
    little, some, much = (chosen(many(), GPU, seconds) for seconds in (60.0, 600.0, 3600.0))
    assert little.freeze.unfreeze == {}
    assert ["stage4"] in some.freeze.unfreeze.values()
    assert list(much.freeze.unfreeze.values()) == [["stage4"], "all"]
    assert little.cache.views is not None and little.cache.views < 4
    assert much.early_stopping is not None and much.optimizer.lr_decay_per_stage < 1
    assert some.epochs < much.epochs


@pytest.mark.parametrize("seconds", [20.0, 100.0, 600.0, 6000.0])
@pytest.mark.parametrize("machine", [CPU, GPU])
@pytest.mark.parametrize("data", [DATA, many()])
def test_what_is_planned_fits_into_the_time_or_is_said_not_to(
    data: Data, machine: Machine, seconds: float
) -> None:
    (line,) = [each for each in choose(data, RESNET, machine, seconds) if each.key == "epochs"]
    predicted = float(line.reasons[0].split()[1])
    assert predicted < seconds or "more than" in line.reasons[0]


def test_images_of_extreme_shapes_are_shown_whole() -> None:
    spec = chosen(replace(DATA, long=0.3))
    assert [each.name for each in spec.transforms.val or ()] == ["letterbox"]
    assert (spec.transforms.train or ())[0].name == "letterbox"


def test_classes_of_different_sizes_count_alike() -> None:
    spec = chosen(replace(DATA, counts=(20, 200)))
    assert spec.loss.class_weights == "balanced"
    assert spec.checkpoint.monitor == "val_balanced_accuracy"


def test_several_labels_an_image_get_their_loss_and_metric() -> None:
    fields = {"format": "table", "path": "rooms.csv", "targets": "multi_label"}
    spec = chosen(replace(DATA, fields=fields, multi_label=True, counts=(20, 200)))
    assert spec.loss.name == "binary_cross_entropy"
    assert spec.loss.class_weights == "none"
    assert spec.checkpoint.monitor == "val_mean_average_precision"


def test_an_accelerator_computes_in_bf16_if_it_has_it() -> None:
    assert chosen(machine=GPU).precision == "bf16"
    assert chosen(machine=replace(GPU, precisions=("fp32",))).precision == "fp32"
    assert chosen(machine=replace(CPU, precisions=("fp32", "bf16"))).precision == "fp32"


def test_without_weights_everything_trains_on_small_images() -> None:
    spec = chosen(replace(DATA, side=32.0), candidate=Candidate(ENTRY, "none"))
    assert spec.freeze.parameters == "none"
    assert spec.cache.views is None
    assert spec.transforms.val is not None and spec.transforms.val[-1].output(None) == (64, 64)


def test_names_of_runs_come_from_paths() -> None:
    names = [name_of(path) for path in ("/data/my flowers.zip", "ants", "/ü/", "...")]
    assert names == ["my-flowers", "ants", "fit", "fit"]


def test_what_is_set_by_hand_loses_its_reason_and_the_rest_stays() -> None:
    lines = choose(many(), RESNET, GPU, 3600.0)
    changed = overridden(lines, ["optimizer.lr=0.01", "seed=3"])
    assert [each for each in changed if each.key not in ("optimizer", "seed")] == [
        each for each in lines if each.key != "optimizer"
    ]
    (optimizer,) = [each for each in changed if each.key == "optimizer"]
    assert optimizer.value == {"name": "adamw", "lr": 0.01, "lr_decay_per_stage": 0.5}
    assert optimizer.reasons == ("as it was set by hand",)
