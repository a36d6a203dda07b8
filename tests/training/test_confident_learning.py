"""Confident learning: planted label errors are found, and cleanlab finds the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.training.confident_learning import find_suspects


@pytest.fixture
def cleanlab(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, which breaks ties as NumPy's sort happens to on a machine, now by position."""
    package = pytest.importorskip("cleanlab")
    monkeypatch.setattr(np, "argsort", partial(np.argsort, kind="stable"))
    return package


def predictions(
    seed: int, count: int, classes: int, sharpness: float, wrong: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Returns probabilities by the true classes, labels a share of which is wrong, and where."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes)) + sharpness * np.eye(classes)[true]
    powers = np.exp(logits)
    planted = np.flatnonzero(rng.random(count) < wrong)
    labels = true.copy()
    labels[planted] = (true[planted] + rng.integers(1, classes, len(planted))) % classes
    return powers / powers.sum(axis=1, keepdims=True), labels, planted


def test_what_is_planted_in_separable_predictions_is_found() -> None:
    probabilities, labels, planted = predictions(0, 500, 5, 12, 0.08)
    found = find_suspects(probabilities, labels)
    assert sorted(found.order) == planted.tolist()
    np.testing.assert_array_equal(found.suggested, probabilities[found.order].argmax(axis=1))
    assert (np.diff(found.scores) >= 0).all(), "the most suspect come first"
    np.testing.assert_array_equal(found.scores, probabilities[found.order, labels[found.order]])
    np.testing.assert_array_equal(found.probabilities, probabilities[found.order].max(axis=1))


@pytest.mark.filterwarnings("ignore:May not flag all label issues")
@pytest.mark.parametrize("sharpness", [0, 1, 3])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_cleanlab_finds_the_same(
    cleanlab: Any, classes: int, sharpness: float, sigmoid: bool
) -> None:
    for seed in range(8):
        probabilities, labels, _ = predictions(seed, 150, classes, sharpness, 0.2)
        if sigmoid:  # as of binary cross entropy: they do not sum to 1
            probabilities = probabilities**0.5
        labels[labels == classes - 1] *= seed % 2  # the last class may have no image
        found = find_suspects(probabilities.astype(np.float32), labels)
        expected = cleanlab.filter.find_label_issues(
            labels,
            probabilities.astype(np.float32).astype(np.float64),
            return_indices_ranked_by="self_confidence",
            n_jobs=1,
        )
        assert found.order.tolist() == expected.tolist()
        quality = cleanlab.rank.get_label_quality_scores(labels, probabilities)
        np.testing.assert_allclose(found.scores, quality[found.order], rtol=1e-6)


def test_cleanlab_finds_the_same_where_images_have_several_labels(cleanlab: Any) -> None:
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    for seed in range(8):
        rng = np.random.default_rng(seed)
        true = rng.random((150, 4)) < 0.4
        probabilities = 1 / (1 + np.exp(rng.normal(size=true.shape) + np.where(true, -3, 3)))
        labels = true ^ (rng.random(true.shape) < 0.1)
        found = find_suspects(probabilities, labels.astype(np.float32))
        expected = find_multilabel_issues_per_class(
            [np.flatnonzero(row).tolist() for row in labels],
            probabilities,
            n_jobs=1,
        )
        order = found.order
        assert sorted(order) == np.flatnonzero(expected.any(axis=1)).tolist()
        np.testing.assert_array_equal(found.suggested > 0, (labels ^ expected)[order])
        answers = np.where(labels, probabilities, 1 - probabilities)
        lowest = np.where(expected, answers, 1).min(axis=1)[order]
        np.testing.assert_array_equal(found.scores, lowest)
        assert (np.diff(lowest) >= 0).all()
        np.testing.assert_array_equal(found.probabilities, 1 - lowest)


def test_where_nothing_is_certain_nothing_is_suspect() -> None:
    labels = np.arange(6) % 3
    assert find_suspects(np.full((6, 3), 1 / 3), labels).order.tolist() == []
    assert find_suspects(np.eye(3)[labels], labels).order.tolist() == []
