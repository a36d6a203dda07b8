"""From logits to the likeliest class and to probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from isotune.spec.loss import MEANS, LossName
from isotune.training.probabilities import predicted, probabilities


def test_softmax_of_huge_logits() -> None:
    logits = np.array([[3e38, 3e38, -3e38], [0, np.log(3), -np.inf]], np.float32)
    found = probabilities(logits, "cross_entropy")
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array([[0.5, 0.5, 0], [0.25, 0.75, 0]]))


def test_sigmoid_of_every_logit() -> None:
    logits = np.array([[0, np.log(3), -3e38], [3e38, -np.log(3), 0]], np.float32)
    found = probabilities(logits, "binary_cross_entropy")
    assert found == pytest.approx(np.array([[0.5, 0.75, 0], [1, 0.25, 0.5]]))
    assert predicted(logits, "binary_cross_entropy").tolist() == [1, 0]


def test_a_single_logit_says_how_likely_the_second_class_is() -> None:
    logits = np.array([[0], [np.log(3)], [-np.log(3)], [-3e38]], np.float32)
    found = probabilities(logits, "binary_cross_entropy")
    assert found == pytest.approx(np.array([[0.5, 0.5], [0.25, 0.75], [0.75, 0.25], [1, 0]]))
    assert predicted(logits, "binary_cross_entropy").tolist() == [0, 1, 0, 0]


def test_a_single_logit_after_cross_entropy_is_that_of_the_only_class() -> None:
    logits = np.array([[0], [3], [-3e38]], np.float32)
    assert probabilities(logits, "cross_entropy").tolist() == [[1], [1], [1]]
    assert predicted(logits, "cross_entropy").tolist() == [0, 0, 0]


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_means_are_those_of_the_probabilities(loss: LossName, outputs: int) -> None:
    rng = np.random.default_rng(outputs)
    one, other = rng.normal(0, 10, (2, 40, outputs)).astype(np.float32)
    means = MEANS[loss](one, other).astype(np.float32)
    expected = (probabilities(one, loss) + probabilities(other, loss)) / 2
    assert probabilities(means, loss) == pytest.approx(expected, abs=1e-6)
    assert (MEANS[loss](other, one) == MEANS[loss](one, other)).all()
    huge = np.full((1, outputs), -3e38, np.float32)
    huge[:, 0] = 3e38
    assert np.isfinite(MEANS[loss](huge, huge[:, ::-1])).all()
