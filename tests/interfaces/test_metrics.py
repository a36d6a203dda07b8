"""An epoch's metrics, and files of other versions."""

from __future__ import annotations

import copy
import json
import math
import pickle

import pytest

from isotune.interfaces.metrics import EpochMetrics

LINE = (
    '{"epoch": 1, "steps": 3, "learning_rate": 0.1, "train_loss": 1.5, "train_accuracy": 0.25,'
    ' "val_loss": 1.25, "val_accuracy": 0.5, "train_seconds": 2.0, "val_seconds": 1.0,'
    ' "data_seconds": 0.5, "step_ms": null}'
)
"""A line that version 0.1.0 wrote."""


def test_a_line_of_the_first_version_is_read_and_written_as_it_was() -> None:
    metrics = EpochMetrics.from_json(json.loads(LINE))
    assert (metrics.epoch, metrics.val_accuracy, metrics.val_loss) == (1, 0.5, 1.25)
    assert math.isnan(metrics.step_ms)
    assert json.dumps(metrics.as_json()) == LINE


def test_other_names_are_kept_and_missing_ones_are_no_numbers() -> None:
    line = {"epoch": 1, "steps": 3, "val_new": 0.5, "val_none": None, "note": "x", "parts": [1]}
    metrics = EpochMetrics.from_json(line)
    assert (metrics.val_new, metrics.value("val_new")) == (0.5, 0.5)
    assert not metrics.evaluated
    for name in ("train_loss", "val_loss", "val_none", "val_seconds", "never"):
        assert math.isnan(getattr(metrics, name, math.nan)), name
    assert math.isnan(metrics.value("never"))
    assert metrics.as_json()["val_none"] is None
    assert not {"note", "parts"} & metrics.as_json().keys()


def test_a_value_that_is_not_there_is_named() -> None:
    metrics = EpochMetrics.from_json(json.loads(LINE))
    with pytest.raises(AttributeError, match=r"no 'val_acuracy'; its values are: train_loss, "):
        _ = metrics.val_acuracy
    assert copy.copy(metrics) == metrics
    assert pickle.loads(pickle.dumps(metrics)).val_loss == 1.25
