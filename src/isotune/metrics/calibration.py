"""Whether a model is as often right as it is confident."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isotune.metrics.metric import Metric, ScoredLabels

BINS = 15


class Reliability(NamedTuple):
    """Figures of each bin of confidence, of shape (:data:`BINS`,).

    Confidence is the probability of the predicted class. Bin m of M, counted from 1, holds the
    images with a confidence in ((m - 1) / M, m / M].

    Attributes:
        images: Number of its images, int64.
        confidence: Their mean confidence, float64; NaN without images.
        accuracy: Share of them that is predicted correctly, float64; NaN without images.
    """

    images: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability(scored: ScoredLabels) -> Reliability:
    """Returns the figures of a reliability diagram (Guo et al., 2017, figure 1)."""
    confidence, correct, bins = _binned(scored)
    images = np.bincount(bins, minlength=BINS)
    sums = (np.bincount(bins, weights=each, minlength=BINS) for each in (confidence, correct))
    with np.errstate(invalid="ignore"):
        return Reliability(images, *(each / images for each in sums))


def expected_calibration_error(scored: ScoredLabels) -> float:
    """Returns the mean distance between confidence and accuracy, over bins of confidence.

    The distance between a bin's mean confidence and its accuracy is weighted by its number of
    images (Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3); the bins are
    those of :class:`Reliability`.
    """
    confidence, correct, bins = _binned(scored)
    surplus = np.bincount(bins, weights=confidence - correct)
    return float(np.abs(surplus).sum() / len(bins))


def _binned(
    scored: ScoredLabels,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Returns each image's confidence, whether its prediction is correct, and its bin, from 0."""
    rows = np.arange(len(scored.labels))
    confidence = scored.probabilities[rows, scored.predicted].astype(np.float64)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
    return confidence, scored.predicted == scored.labels, bins


METRICS = (
    Metric(
        "expected_calibration_error",
        "calibration error",
        expected_calibration_error,
        higher_is_better=False,
    ),
)
