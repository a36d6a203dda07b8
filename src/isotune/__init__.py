"""Isotune: one transfer-learning experiment spec, any backend, the same result.

>>> import isotune
>>> run = isotune.run("ants-and-bees.yaml", backend="torch")
>>> run.best.val_accuracy
>>> run.predict("bee.jpg")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isotune import plugins
    from isotune.data.splitting import split
    from isotune.errors import (
        BackendError,
        DatasetError,
        IsotuneError,
        RunError,
        SpecError,
        StoppedError,
        TrainingError,
        WeightsError,
    )
    from isotune.experiment import run
    from isotune.hookspecs import hookimpl
    from isotune.inspection import summary
    from isotune.reports.curves import show_curves
    from isotune.reports.data import show_data
    from isotune.resuming import resume
    from isotune.runs.opening import open_run
    from isotune.runs.run import Run
    from isotune.spec.experiment import ExperimentSpec
    from isotune.spec.loading import json_schema, load_spec
    from isotune.weights.converting import convert

_HOMES = {
    "BackendError": "isotune.errors",
    "DatasetError": "isotune.errors",
    "ExperimentSpec": "isotune.spec.experiment",
    "IsotuneError": "isotune.errors",
    "Run": "isotune.runs.run",
    "RunError": "isotune.errors",
    "SpecError": "isotune.errors",
    "StoppedError": "isotune.errors",
    "TrainingError": "isotune.errors",
    "WeightsError": "isotune.errors",
    "convert": "isotune.weights.converting",
    "hookimpl": "isotune.hookspecs",
    "json_schema": "isotune.spec.loading",
    "load_spec": "isotune.spec.loading",
    "open_run": "isotune.runs.opening",
    "resume": "isotune.resuming",
    "run": "isotune.experiment",
    "show_curves": "isotune.reports.curves",
    "show_data": "isotune.reports.data",
    "split": "isotune.data.splitting",
    "summary": "isotune.inspection",
}

__all__ = [
    "BackendError",
    "DatasetError",
    "ExperimentSpec",
    "IsotuneError",
    "Run",
    "RunError",
    "SpecError",
    "StoppedError",
    "TrainingError",
    "WeightsError",
    "convert",
    "hookimpl",
    "json_schema",
    "load_spec",
    "open_run",
    "plugins",
    "resume",
    "run",
    "show_curves",
    "show_data",
    "split",
    "summary",
]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used (PEP 562), so that importing stays light."""
    if name == "plugins":  # a module, so that it is the same whoever imports it first
        return import_module("isotune.plugins")
    if name not in _HOMES:
        raise AttributeError(f"module 'isotune' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Lists the public names."""
    return sorted(__all__)
