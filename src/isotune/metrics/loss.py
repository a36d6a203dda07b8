"""The loss that is trained with, on other images."""

from __future__ import annotations

from isotune.metrics.metric import Metric, Scored


def loss(scored: Scored) -> float:
    """Returns the mean loss."""
    return scored.loss


METRICS = (Metric("loss", "loss", loss, False, "number", digits=4, multi_label=loss),)
