"""Metrics against scikit-learn's, on random logits with ties, missing classes and one output."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isotune.interfaces.trainer import TrainingPlan
from isotune.metrics import METRICS
from isotune.metrics.calibration import BINS, reliability
from isotune.metrics.precision_recall import class_figures
from isotune.spec.optimizer import SGDSpec
from isotune.training.evaluation import Evaluation, assess

sklearn = pytest.importorskip("sklearn.metrics")
calibration_curve = pytest.importorskip("sklearn.calibration").calibration_curve

SOFTMAX = TrainingPlan(SGDSpec())
SIGMOID = TrainingPlan(SGDSpec(), loss="binary_cross_entropy")


@st.composite
def evaluations(draw: st.DrawFn) -> Evaluation:
    """Few distinct logits, so that many are equal, and few images, so that classes are missing."""
    outputs = draw(st.sampled_from([1, 2, 3, 7, 12]))
    plan = SIGMOID if outputs == 1 else draw(st.sampled_from([SOFTMAX, SIGMOID]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = draw(st.integers(1, 40))
    logits = rng.integers(-4, 5, (images, outputs)).astype(np.float32)
    labels = rng.integers(0, max(outputs, 2), images).astype(np.int32)
    found = assess(logits, labels, plan)
    assert isinstance(found, Evaluation)
    return found


def top5(found: Evaluation) -> float:
    classes = found.logits.shape[1]
    if classes <= 5:
        return 1.0
    # Of equal scores scikit-learn has the last class first.
    reverse, labels = found.logits[:, ::-1], classes - 1 - found.labels
    return float(sklearn.top_k_accuracy_score(labels, reverse, k=5, labels=range(classes)))


def balanced(found: Evaluation) -> float:
    own = np.unique(found.labels)
    return float(
        sklearn.recall_score(
            found.labels, found.predicted, labels=own, average="macro", zero_division=0
        )
    )


def macro(score: Callable[..., float]) -> Callable[[Evaluation], float]:
    return lambda found: score(found.labels, found.predicted, average="macro", zero_division=0)


def area(found: Evaluation) -> float:
    present = np.unique(found.labels)
    if len(present) == 1:
        return math.nan
    areas = [
        sklearn.roc_auc_score(found.labels == label, found.probabilities[:, label])
        for label in present
    ]
    return float(np.mean(areas))


def precision_area(found: Evaluation) -> float:
    areas = [
        sklearn.average_precision_score(found.labels == label, found.probabilities[:, label])
        for label in np.unique(found.labels)
    ]
    return float(np.mean(areas))


def calibration(found: Evaluation) -> float:
    confidence = found.probabilities.max(axis=1).astype(np.float64)
    correct = found.predicted == found.labels
    accuracies, means = calibration_curve(correct, confidence, n_bins=15)
    bins = np.unique(np.ceil(confidence * 15), return_counts=True)[1]
    return float(np.abs(accuracies - means) @ bins / len(correct))


def log_loss(found: Evaluation) -> float:
    if found.logits.shape[1] == 1:
        return float(sklearn.log_loss(found.labels, found.probabilities, labels=[0, 1]))
    z, hot = found.logits.astype(np.float64), np.eye(found.logits.shape[1])[found.labels]
    softmax = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    # Not by their sum, which is 1 for the sigmoids of -4 and 4 too.
    if np.allclose(found.probabilities, softmax, atol=1e-5):
        return float(-(np.log(softmax) * hot).sum(1).mean())
    chances = 1 / (1 + np.exp(-z))
    return float(-(hot * np.log(chances) + (1 - hot) * np.log(1 - chances)).mean())


TRUTH: dict[str, Callable[[Evaluation], float]] = {
    "loss": log_loss,
    "accuracy": lambda found: sklearn.accuracy_score(found.labels, found.predicted),
    "top5_accuracy": top5,
    "balanced_accuracy": balanced,
    "macro_precision": macro(sklearn.precision_score),
    "macro_recall": macro(sklearn.recall_score),
    "macro_f1": macro(sklearn.f1_score),
    "roc_auc": area,
    "mean_average_precision": precision_area,
    "expected_calibration_error": calibration,
}


@given(evaluations())
def test_reliability_is_scikit_learns_calibration_curve(found: Evaluation) -> None:
    confidence = found.probabilities.max(axis=1).astype(np.float64)
    accuracies, means = calibration_curve(found.predicted == found.labels, confidence, n_bins=BINS)
    figures = reliability(found)
    has = figures.images > 0
    np.testing.assert_allclose(figures.accuracy[has], accuracies, rtol=1e-12)
    np.testing.assert_allclose(figures.confidence[has], means, rtol=1e-12)
    assert figures.images.sum() == len(found.labels)
    assert np.isnan(figures.accuracy[~has]).all()


def test_every_metric_is_compared() -> None:
    assert TRUTH.keys() == {name for name, each in METRICS.items() if each.applies(False)}


@pytest.mark.parametrize("name", TRUTH)
@given(found=evaluations())
def test_values_are_those_of_scikit_learn(name: str, found: Evaluation) -> None:
    expected = TRUTH[name](found)
    assert found.metrics[name] == pytest.approx(expected, rel=1e-5, abs=1e-7, nan_ok=True)


@given(found=evaluations())
def test_each_classes_figures_are_those_of_scikit_learn(found: Evaluation) -> None:
    classes = range(found.probabilities.shape[1])
    precision, recall, f1, images = sklearn.precision_recall_fscore_support(
        found.labels, found.predicted, labels=classes, zero_division=np.nan
    )
    figures = class_figures(found)
    np.testing.assert_allclose(figures.precision, precision)
    np.testing.assert_allclose(figures.recall, recall)
    np.testing.assert_allclose(figures.f1, f1)
    assert figures.images.tolist() == images.tolist()
    matrix = sklearn.confusion_matrix(found.labels, found.predicted, labels=classes)
    assert found.confusion.tolist() == matrix.tolist()


def test_area_of_all_classes_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 9)).astype(np.float32), rng.integers(0, 9, 200)
    found = assess(logits, labels.astype(np.int32), SOFTMAX)
    chances = found.probabilities / found.probabilities.sum(axis=1, keepdims=True)
    expected = sklearn.roc_auc_score(labels, chances, multi_class="ovr")
    assert found.metrics["roc_auc"] == pytest.approx(expected, abs=1e-6)


def test_metrics_are_computed_that_are_asked_for() -> None:
    logits, labels = np.eye(3, dtype=np.float32), np.array([0, 1, 1], np.int32)
    assert [*assess(logits, labels, SOFTMAX, []).metrics] == ["loss", "accuracy"]
    named = assess(logits, labels, SOFTMAX, ["macro_f1", "loss"])
    assert [*named.metrics] == ["loss", "accuracy", "macro_f1"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_make_no_metric_fail(value: float) -> None:
    logits: NDArray[Any] = np.full((4, 9), value, np.float32)
    found = assess(logits, np.array([0, 1, 2, 3], np.int32), SOFTMAX)
    assert math.isnan(found.loss)
    assert math.isnan(found.metrics["roc_auc"])
    assert math.isnan(found.metrics["expected_calibration_error"])
