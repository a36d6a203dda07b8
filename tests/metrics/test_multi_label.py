"""Metrics of several labels an image, and thresholds, against scikit-learn's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotune.interfaces.trainer import TrainingPlan
from isotune.metrics import METRICS
from isotune.metrics.average_precision import average_precisions
from isotune.metrics.precision_recall import class_figures
from isotune.metrics.thresholds import max_f1_thresholds
from isotune.spec.optimizer import SGDSpec
from isotune.training.evaluation import MultiLabelEvaluation, assess

sklearn = pytest.importorskip("sklearn.metrics")

PLAN = TrainingPlan(SGDSpec(), loss="binary_cross_entropy")


@st.composite
def evaluations(draw: st.DrawFn) -> MultiLabelEvaluation:
    """Few distinct logits, so that many are equal, and few images, so that classes are missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 30)), draw(st.integers(2, 5))
    logits = rng.integers(-4, 5, shape).astype(np.float32)
    labels = (rng.random(shape) < draw(st.sampled_from([0.1, 0.5]))).astype(np.float32)
    found = assess(logits, labels, PLAN, None, draw(st.sampled_from([None, 0.3, "max_f1"])))
    assert isinstance(found, MultiLabelEvaluation)
    return found


def of_classes(
    score: Callable[..., float], chosen: Callable[[int, int], bool]
) -> Callable[[MultiLabelEvaluation], float]:
    """Returns the mean of a score over the classes with a chosen number of images of all."""

    def mean(found: MultiLabelEvaluation) -> float:
        labels, shares = found.positives, found.probabilities
        columns = [
            c for c in range(labels.shape[1]) if chosen(int(labels[:, c].sum()), len(labels))
        ]
        values = [score(labels[:, column], shares[:, column]) for column in columns]
        return float(np.mean(values)) if values else math.nan

    return mean


def averaged(score: Callable[..., float], average: str) -> Callable[[MultiLabelEvaluation], float]:
    def value(found: MultiLabelEvaluation) -> float:
        occur = np.flatnonzero(found.positives.any(0) | found.predicted.any(0))
        if not len(occur):
            return 0.0
        truth, answers = found.positives[:, occur], found.predicted[:, occur]
        if len(occur) == 1:
            truth, answers = truth[:, 0], answers[:, 0]
            return float(score(truth, answers, zero_division=0))
        return float(score(truth, answers, average=average, zero_division=0))

    return value


def log_loss(found: MultiLabelEvaluation) -> float:
    pairs = zip(found.labels.T, found.logits.T, strict=True)
    chances = [(labels, 1 / (1 + np.exp(-logits.astype(float)))) for labels, logits in pairs]
    return float(np.mean([sklearn.log_loss(*pair, labels=[0, 1]) for pair in chances]))


TRUTH: dict[str, Callable[[MultiLabelEvaluation], float]] = {
    "loss": log_loss,
    "accuracy": lambda found: 1 - np.mean(found.positives != found.predicted),
    "exact_match": lambda found: np.mean((found.positives == found.predicted).all(1)),
    "macro_precision": averaged(sklearn.precision_score, "macro"),
    "macro_recall": averaged(sklearn.recall_score, "macro"),
    "macro_f1": averaged(sklearn.f1_score, "macro"),
    "micro_precision": averaged(sklearn.precision_score, "micro"),
    "micro_recall": averaged(sklearn.recall_score, "micro"),
    "micro_f1": averaged(sklearn.f1_score, "micro"),
    "roc_auc": of_classes(sklearn.roc_auc_score, lambda own, everything: 0 < own < everything),
    "mean_average_precision": of_classes(
        sklearn.average_precision_score, lambda own, everything: own > 0
    ),
}


def test_every_metric_is_compared() -> None:
    assert TRUTH.keys() == {name for name, each in METRICS.items() if each.applies(True)}


@settings(max_examples=25)
@given(found=evaluations())
def test_values_are_those_of_scikit_learn(found: MultiLabelEvaluation) -> None:
    assert found.metrics.keys() == TRUTH.keys()
    for name, truth in TRUTH.items():
        tolerance = 1e-6 if name == "loss" else 1e-12
        expected = pytest.approx(truth(found), rel=tolerance, abs=tolerance, nan_ok=True)
        assert found.metrics[name] == expected, name


@settings(max_examples=25)
@given(found=evaluations())
def test_each_classes_figures_are_those_of_scikit_learn(found: MultiLabelEvaluation) -> None:
    matrices = sklearn.multilabel_confusion_matrix(found.positives, found.predicted)
    assert found.confusion.tolist() == matrices.tolist()
    figures = class_figures(found)
    for column in range(found.positives.shape[1]):
        truth, answers = found.positives[:, column], found.predicted[:, column]
        expected = sklearn.f1_score(truth, answers, zero_division=np.nan)
        assert figures.f1[column] == pytest.approx(expected, nan_ok=True)
        area = average_precisions(found)[column]
        assert math.isnan(area) == (not truth.any())


@settings(max_examples=25)
@given(found=evaluations())
def test_no_threshold_has_a_larger_f1(found: MultiLabelEvaluation) -> None:
    thresholds = max_f1_thresholds(found.probabilities, found.positives)
    for shares, truth, threshold in zip(
        found.probabilities.T, found.positives.T, thresholds, strict=True
    ):
        if not truth.any():
            assert threshold == 0.5
            continue
        assert 0 < threshold <= 1
        precision, recall, _ = sklearn.precision_recall_curve(truth, shares)
        with np.errstate(invalid="ignore"):
            best = np.nanmax(2 * precision * recall / (precision + recall))
        assert sklearn.f1_score(truth, shares >= threshold) == pytest.approx(best)


def test_a_threshold_lies_halfway_and_of_equals_nearest_to_one_half() -> None:
    shares = np.array([[0.9, 0.8], [0.7, 0.8], [0.2, 0.3], [0.1, 0.2]], np.float32)
    positive = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)
    assert max_f1_thresholds(shares, positive) == pytest.approx([0.45, 0.25])
    assert max_f1_thresholds(shares[:, :1], np.ones((4, 1), bool)) == pytest.approx([0.05])
