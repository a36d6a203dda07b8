"""The sums of an epoch that is continued by another process."""

from __future__ import annotations

import math

import numpy as np
import pytest

from isotune.interfaces.trainer import HostOutputs, TrainingPlan
from isotune.runs.schema import EpochSoFar
from isotune.spec.optimizer import SGDSpec
from isotune.training.accumulator import EpochAccumulator, scored

SHARES = np.array([[0.6, 0.4], [0.3, 0.7], [1, 0], [0.55, 0.45]], np.float32)


def test_of_mixed_images_the_largest_share_is_the_correct_class() -> None:
    logits = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    weights = np.array([1, 3], np.float32)
    plans = {
        "cross_entropy": (TrainingPlan(SGDSpec()), 4),
        "weighted": (TrainingPlan(SGDSpec(), class_weights=weights), 4),
        "binary": (
            TrainingPlan(SGDSpec(), loss="binary_cross_entropy", class_weights=weights),
            (SHARES @ weights).sum(),
        ),
    }
    for plan, weight in plans.values():
        accumulator = EpochAccumulator(1)
        accumulator.add(scored([HostOutputs(logits, 0.5)], [SHARES], plan))
        assert (accumulator.correct, accumulator.answers) == (2, 4)
        assert accumulator.weight == pytest.approx(weight)
    several = TrainingPlan(SGDSpec(), loss="binary_cross_entropy", multi_label=True)
    accumulator = EpochAccumulator(1)
    accumulator.add(scored([HostOutputs(logits - 0.5, 0.5)], [SHARES], several))
    assert (accumulator.correct, accumulator.answers) == (4, 8)


EARLIER = {
    "epoch": 2,
    "steps": 3,
    "samples": 12,
    "loss": 18.0,
    "correct": 6,
    "learning_rate": 0.1,
    "newest_loss": 1.25,
    "seconds": 4.0,
    "data_seconds": 0.5,
}
"""``epoch_so_far`` of a checkpoint that version 0.1.0 wrote."""


def test_an_earlier_checkpoints_epoch_is_continued() -> None:
    accumulator = EpochAccumulator.from_json(EpochSoFar(**EARLIER).model_dump())
    assert accumulator.last_loss == 1.25
    assert math.isnan(accumulator.metrics(7, clips=True).grad_norm)
    outputs, labels = HostOutputs(np.eye(4, dtype=np.float32), 0.5), np.arange(4, dtype=np.int32)
    accumulator.add(scored([outputs], [labels], TrainingPlan(SGDSpec())))
    metrics = EpochAccumulator.from_json(accumulator.as_json()).metrics(8, ["macro_f1"])
    assert metrics.train_loss == pytest.approx((18 + 4 * 0.5) / 16)
    assert metrics.train_accuracy == 10 / 16
    assert [*metrics.values] == [
        *("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_macro_f1")
    ]


def test_the_gradient_norm_is_the_mean_of_the_updates_whose_norm_is_finite() -> None:
    accumulator, labels = EpochAccumulator(1), np.zeros(1, np.int32)
    for norm in (math.nan, 1.0, math.inf, 4.0):  # without an update; left out by float16
        outputs = HostOutputs(np.ones((1, 2), np.float32), 0.5, norm)
        accumulator.add(scored([outputs], [labels], TrainingPlan(SGDSpec())))
        accumulator = EpochAccumulator.from_json(EpochSoFar(**accumulator.as_json()).model_dump())
    assert accumulator.metrics(4, clips=True).grad_norm == 2.5
    assert "grad_norm" not in accumulator.metrics(4).values
