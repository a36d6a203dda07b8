"""Whether a model is as often right as it is confident."""

from __future__ import annotations

import numpy as np

from isotune.metrics.metric import Metric, ScoredLabels

BINS = 15


def expected_calibration_error(scored: ScoredLabels) -> float:
    """Returns the mean distance between confidence and accuracy, over bins of confidence.

    Confidence is the probability of the predicted class. Bin m of M = 15 holds the images with a
    confidence in ((m - 1) / M, m / M]; the distance between their mean confidence and their
    accuracy is weighted by their number (Guo et al., "On Calibration of Modern Neural Networks",
    2017, equation 3).
    """
    rows = np.arange(len(scored.labels))
    confidence = scored.probabilities[rows, scored.predicted].astype(np.float64)
    surplus = confidence - (scored.predicted == scored.labels)
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)
    return float(np.abs(np.bincount(bins, weights=surplus)).sum() / len(rows))


METRICS = (
    Metric(
        "expected_calibration_error",
        "calibration error",
        expected_calibration_error,
        higher_is_better=False,
    ),
)
