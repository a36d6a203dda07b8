"""Metrics of a classifier: functions of its scores and the labels, in NumPy.

A metric is a :class:`Metric` in the ``METRICS`` of a module of this package. That module is all
there is to add: the table below is built from the package's modules, and whatever computes,
shows or monitors metrics reads the table. It stands below :mod:`isotune.spec`, which checks names.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from isotune.metrics.metric import Metric

METRICS: dict[str, Metric] = {}
"""All metrics by name, in the order of their modules' names."""

for _module in iter_modules(__path__, f"{__name__}."):
    for _metric in getattr(import_module(_module.name), "METRICS", ()):
        if _metric.name in METRICS:
            raise ValueError(f"{_module.name}: there is a metric '{_metric.name}' already.")
        METRICS[_metric.name] = _metric


def monitored(monitor: str) -> Metric:
    """Returns the metric that a monitor, such as ``val_accuracy``, is the value of."""
    return METRICS[monitor.removeprefix("val_")]
