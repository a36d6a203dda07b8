"""Area under the receiver operating characteristic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.metrics.metric import Metric, Scored


def roc_auc(scored: Scored) -> float:
    """Returns the mean over the classes of the area of one class against the rest.

    Classes that have no image, or all of them, have no area and are left out; NaN if all are.
    scikit-learn's ``roc_auc_score`` with ``multi_class="ovr"`` is NaN as soon as one class is
    missing, and the same otherwise.
    """
    probabilities, positives = scored.probabilities, scored.positives
    if np.isnan(probabilities).any():
        return float("nan")
    images = positives.sum(axis=0)
    present = np.flatnonzero((images > 0) & (images < len(positives)))
    if not len(present):
        return float("nan")
    return float(np.mean([_area(probabilities[:, c], positives[:, c]) for c in present]))


def _area(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> float:
    """Returns the area by the Mann-Whitney statistic: the share of ordered pairs, ties half."""
    ordered, own = np.sort(scores), scores[positive]
    below = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")
    pairs = len(own) * (len(scores) - len(own))
    return float((below.sum() - len(own) ** 2) / (2 * pairs))  # without pairs of positives


METRICS = (Metric("roc_auc", "ROC AUC", roc_auc, format="number", digits=4, multi_label=roc_auc),)
