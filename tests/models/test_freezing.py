"""What is frozen in which epoch."""

from __future__ import annotations

from typing import Any

import pytest

from isotune.errors import SpecError
from isotune.interfaces.freezing import FreezePlan
from isotune.models.freezing import freeze_plan
from isotune.spec.freeze import FreezeSpec

HEAD = "head.fc"
PARAMETERS = {
    "conv.weight",
    "layer1.0.bn.weight",
    "layer1.0.bn.bias",
    "layer10.weight",
    "head.norm.weight",
    "head.fc.weight",
    "head.fc.bias",
}
STATE = [*sorted(PARAMETERS), "layer1.0.bn.running_mean", "layer1.0.bn.running_var"]


def frozen(parameters: Any, epoch: int = 1, unfreeze: dict[int, Any] | None = None) -> set[str]:
    spec = FreezeSpec(parameters=parameters, unfreeze=unfreeze or {})
    return set(freeze_plan(spec, HEAD, STATE, epoch).frozen)


def test_words() -> None:
    assert frozen("none") == set()
    assert frozen("backbone") == PARAMETERS - {"head.fc.weight", "head.fc.bias"}


def test_patterns() -> None:
    assert frozen(["layer1"]) == {"layer1.0.bn.weight", "layer1.0.bn.bias"}
    assert frozen(["*.bias"]) == {"layer1.0.bn.bias", "head.fc.bias"}
    assert frozen(["conv.weight", "layer1*"]) == {
        "conv.weight",
        "layer1.0.bn.weight",
        "layer1.0.bn.bias",
        "layer10.weight",
    }


STAGES = {"stem": ("conv",), "stage1": ("layer1", "layer10"), "head": ("head",)}


def test_stages_are_named_like_patterns() -> None:
    def by_stage(parameters: Any, epoch: int = 1, unfreeze: Any = None) -> set[str]:
        spec = FreezeSpec(parameters=parameters, unfreeze=unfreeze or {})
        return set(freeze_plan(spec, HEAD, STATE, epoch, STAGES).frozen)

    assert by_stage(["stem", "stage1"]) == frozen(["conv", "layer1", "layer10"])
    gradual = {2: "stage1", 4: ["stem"]}
    assert by_stage("backbone", 1, gradual) == frozen("backbone")
    assert by_stage("backbone", 2, gradual) == {"conv.weight", "head.norm.weight"}
    assert by_stage("backbone", 4, gradual) == {"head.norm.weight"}
    with pytest.raises(
        SpecError,
        match=r"unfreeze.2: 'stage2' .* Did you mean 'stage1'\? .* Stages are: stem, stage1, head",
    ):
        by_stage("backbone", 1, {2: "stage2"})


def test_a_frozen_prefix_drops_nothing() -> None:
    names = ["stem.w", "a.0.w", "a.0.b", "a.1.w", "head.w"]

    def drops(path: str, *trains: str, **how: Any) -> bool:
        return FreezePlan(frozenset(names) - {*trains}, **how).drops(path, names)

    assert not drops("a.0.drop", "head.w") and not drops("a.1.drop", "head.w")
    assert drops("head.drop", "head.w")  # a dropout of the head
    assert drops("drop", "head.w")  # of no block: it may come behind anything
    assert drops("a.1.drop", "a.0.w") and drops("a.0.drop", "a.0.b")
    assert not drops("a.0.drop", "a.1.w")
    assert drops("a.0.drop", "head.w", batch_norm="train")
    assert drops("a.0.drop", *names)


def test_unfreezing_lasts() -> None:
    plan = {3: ["layer1", "head"], 5: "all"}
    assert frozen("backbone", 2, plan) == frozen("backbone")
    assert frozen("backbone", 3, plan) == frozen("backbone", 4, plan)
    assert frozen("backbone", 4, plan) == {"conv.weight", "layer10.weight"}
    assert frozen("backbone", 5, plan) == frozen("backbone", 9, plan) == set()


def test_a_later_unfreezing_is_checked_at_once() -> None:
    with pytest.raises(SpecError, match=r"freeze.unfreeze.7: 'layer2' matches no parameter"):
        frozen("backbone", 1, {7: ["layer2"]})


def test_statistics_are_no_parameters() -> None:
    with pytest.raises(SpecError, match="running_mean' matches no parameter"):
        frozen(["layer1.0.bn.running_mean"])
    with pytest.raises(SpecError, match="nothing is left to train"):
        frozen(sorted(PARAMETERS))


def test_batch_norm_mode_goes_along() -> None:
    spec = FreezeSpec(parameters="backbone", batch_norm="train")
    assert freeze_plan(spec, HEAD, STATE, 1).batch_norm == "train"
