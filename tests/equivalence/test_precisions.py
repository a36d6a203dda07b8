"""Sides in bfloat16: clean pairs are clean, faults are found, and float32 beside it says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import zoo
from isotune.equivalence.certificates.certificate import Certificate
from isotune.equivalence.certificates.wording import verdict_sentence
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.local.companions import CompareLocally, RecordWhole
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import NO_COMPANION, Companion, Recording
from isotune.equivalence.traces.trace import Trace
from isotune.spec.load import load_spec
from tiny import experiment, make_images

torch = pytest.importorskip("torch")

STEP = Recording(steps=1, drift=2, predictions=4)

Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def traced(
    images: Path, companion: Companion, precision: str, change: Change | None = None, **fields: Any
) -> Trace:
    """Records a side; one with a change computes in the other memory format, too."""
    usual = {"batch_size": 8, "epochs": 2, "backbone": {"name": "tiny_bn", "weights": "none"}}
    spec = load_spec(experiment(images, **{**usual, "precision": precision, **fields}))
    with ExitStack() as stack:
        if change is not None:
            stack.enter_context(_changed(change))
        return record(spec, "torch", "cpu", zoo.plugins("torch"), STEP, companion=companion)


def _changed(change: Change) -> Any:
    """Lets trainers be those of models that are changed."""
    from isotune_torch.backend import TorchBackend

    made = TorchBackend.trainer

    def trainer(self: Any, model: Any, plan: Any) -> Any:
        change(model)
        return made(self, model.to(memory_format=torch.channels_last), plan)

    return patch.object(TorchBackend, "trainer", trainer)


def certified(images: Path, precisions: tuple[str, str], change: Change) -> Certificate:
    with closing(RecordWhole()) as whole:
        one = traced(images, whole, precisions[0])
        local = CompareLocally(one)
        other = traced(images, local, precisions[1], change)
        return compare(one, other, local.found)


def nothing(model: Any) -> None:
    """Changes nothing."""


def scaled(model: Any) -> None:
    """Multiplies what the convolution returns by 1.04."""
    model.conv.register_forward_hook(lambda *call: call[2] * 1.04)


def leaky(model: Any) -> None:
    model.relu = torch.nn.LeakyReLU(0.05)


def repeated(model: Any) -> None:
    """Pads the convolution's maps by what is at their border."""
    model.conv.padding_mode = "replicate"
    model.conv._reversed_padding_repeated_twice = (1, 1, 1, 1)


def test_a_pair_of_one_precision_is_equal(images: Path) -> None:
    found = certified(images, ("bf16", "bf16"), nothing)
    assert found.place is None and found.verdict == "equal"
    assert any(each.difference > 0 for each in found.steps[0].values)
    assert "no more than the rounding of bf16" in verdict_sentence(found)


@pytest.mark.parametrize(
    ("change", "path"), [(scaled, "conv"), (repeated, "conv"), (leaky, "relu")]
)
def test_a_fault_is_found_beside_the_rounding_of_bfloat16(
    change: Change, path: str, images: Path
) -> None:
    found = certified(images, ("bf16", "bf16"), change)
    assert found.verdict == "differs" and found.place is not None
    assert (found.place.stage, found.place.path) == ("forward", path)


def test_an_update_is_float32_in_every_precision(images: Path) -> None:
    """A learning rate that is 1% off is seen, though bfloat16 rounds gradients by as much."""
    one, other = (
        traced(images, NO_COMPANION, "bf16", optimizer={"name": "sgd", "lr": lr})
        for lr in (0.01, 0.0101)
    )
    assert compare(one, one).verdict == "equal"
    place = compare(one, replace(other, experiment=one.experiment)).place
    assert place is not None and place.stage == "update"


def test_different_precisions_say_what_they_differ_by(images: Path) -> None:
    found = certified(images, ("fp32", "bf16"), nothing)
    assert found.verdict == "equal"
    (note,) = (note for note in found.notes if "compute in fp32 and in bf16" in note)
    assert "outputs differ by up to 0.00" in note and "gradients differ by up to 0.0" in note
    assert "the rounding of bf16" in note and "may hide" in note
    wrong = certified(images, ("fp32", "bf16"), scaled)
    assert wrong.place is not None and wrong.place.path == "conv"
