"""The best epoch, and when to give up."""

from __future__ import annotations

import math

import pytest

from isotune.interfaces.metrics import EpochMetrics
from isotune.metrics import METRICS
from isotune.spec.checkpoint import EarlyStopping
from isotune.training.progress import Best, Patience


def epoch(number: int, accuracy: float, loss: float, **others: float) -> EpochMetrics:
    values = {"val_loss": loss, "val_accuracy": accuracy, **others}
    return EpochMetrics(number, 0, 0.1, values, 0, 0, 0, math.nan)


EPOCHS = [
    epoch(1, 0.0, 3.0),
    epoch(2, 0.5, 2.0),
    epoch(3, 0.5, 1.99),
    epoch(4, 0.4, 1.98),
    epoch(5, 0.6, 2.5),
]


def test_best_is_the_first_of_equals() -> None:
    by_accuracy, by_loss = Best("val_accuracy"), Best("val_loss")
    assert [by_accuracy.update(m) for m in EPOCHS] == [True, True, False, False, True]
    assert [by_loss.update(m) for m in EPOCHS] == [True, True, True, True, False]
    assert by_accuracy.metrics is EPOCHS[4]
    assert by_loss.metrics is EPOCHS[3]


def test_patience_counts_epochs_without_enough_improvement() -> None:
    strict = Patience(EarlyStopping(monitor="val_loss", patience=2, min_delta=0.1))
    assert [strict.exhausted(m) for m in EPOCHS[:4]] == [False, False, False, True]
    lenient = Patience(EarlyStopping(monitor="val_accuracy", patience=3))
    assert not any(lenient.exhausted(m) for m in EPOCHS)


def test_epochs_without_evaluation_are_passed_over() -> None:
    unseen = epoch(1, math.nan, math.nan)
    best = Best("val_loss")
    assert [best.update(m) for m in (unseen, EPOCHS[1], unseen)] == [False, True, False]
    assert best.metrics is EPOCHS[1]
    patience = Patience(EarlyStopping(monitor="val_loss", patience=1))
    assert not any(patience.exhausted(m) for m in (unseen, EPOCHS[1], unseen, unseen))
    assert patience.exhausted(EPOCHS[0])


def test_every_metric_is_monitored_in_its_direction() -> None:
    for name, metric in METRICS.items():
        low, high = (epoch(1, 0.5, 1.0, **{f"val_{name}": value}) for value in (0.25, 0.75))
        best = Best(f"val_{name}")
        assert best.update(low)
        assert best.update(high) == metric.higher_is_better, name
        patience = Patience(EarlyStopping(monitor=f"val_{name}", patience=1))
        found = [patience.exhausted(metrics) for metrics in (low, high)]
        assert found == [False, not metric.higher_is_better], name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_never_the_best_and_does_not_end_a_run(value: float) -> None:
    undefined = epoch(1, 0.5, 1.0, val_roc_auc=value)
    defined, missing = epoch(2, 0.5, 1.0, val_roc_auc=0.1), epoch(3, 0.5, 1.0)
    best = Best("val_roc_auc")
    found = [best.update(metrics) for metrics in (undefined, defined, undefined, missing)]
    assert found == [False, True, False, False]
    assert best.metrics is defined
    earlier = Best("val_roc_auc", undefined)  # the best of a run by an earlier version
    assert [earlier.update(metrics) for metrics in (undefined, defined)] == [False, True]
    patience = Patience(EarlyStopping(monitor="val_roc_auc", patience=1))
    found = [patience.exhausted(m) for m in (undefined, missing, defined, missing, undefined)]
    assert not any(found)
