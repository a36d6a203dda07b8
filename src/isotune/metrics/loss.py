"""The loss that is trained with, on other images."""

from __future__ import annotations

from isotune.metrics.metric import Metric

METRICS = (Metric("loss", "loss", lambda scored: scored.loss, False, "number", digits=4),)
