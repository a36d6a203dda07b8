"""The best epoch, and when to give up."""

from __future__ import annotations

import math

from isotune.interfaces.events import EpochMetrics
from isotune.spec.checkpoint import EarlyStopping
from isotune.training.progress import Best, Patience


def epoch(number: int, accuracy: float, loss: float) -> EpochMetrics:
    return EpochMetrics(number, 0, 0.1, 0, 0, loss, accuracy, 0, 0, 0, math.nan)


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
