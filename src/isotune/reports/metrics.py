"""How metrics are headed and written, by the names that an epoch's values have."""

from __future__ import annotations

from collections.abc import Iterable

from isotune.interfaces.metrics import EVERY_EPOCH, EpochMetrics
from isotune.metrics import METRICS
from isotune.metrics.metric import Metric
from isotune.reports.numbers import loss


def heading(name: str) -> str:
    """Returns ``macro F1`` for ``val_macro_f1``."""
    metric = _metric(name)
    return metric.label if metric else name.removeprefix("val_").replace("_", " ")


def full_heading(name: str) -> str:
    """Returns ``val macro F1`` for ``val_macro_f1``."""
    return f"val {heading(name)}" if name.startswith("val_") else heading(name)


def written(name: str, value: float | None, exact: bool = False) -> str:
    """Returns a value in the format of its metric, or a dash for None and NaN.

    Args:
        name: Name of the metric; one that is unknown is written as a number.
        value: The value.
        exact: Whether to show more digits than fit the line of an epoch.
    """
    metric = _metric(name)
    return loss(value, 6 if exact else 4) if metric is None else metric.text(value, exact)


def in_percent(name: str) -> bool:
    """Whether a value is a fraction that is written as a percentage."""
    metric = _metric(name)
    return metric is not None and metric.format == "percent"


def further(epochs: Iterable[EpochMetrics]) -> list[str]:
    """Returns the names of values that some epochs have besides loss and accuracy, in order."""
    names = dict.fromkeys(name for metrics in epochs for name in metrics.values)
    return [name for name in names if name not in EVERY_EPOCH]


def _metric(name: str) -> Metric | None:
    return METRICS.get(name.removeprefix("val_").removeprefix("train_"))
