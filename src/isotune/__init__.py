"""Isotune: one transfer-learning experiment spec, any backend, the same result.

>>> import isotune
>>> run = isotune.run("ants-and-bees.yaml", backend="torch")
>>> run.best.val_accuracy
>>> run.predict("bee.jpg")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from isotune.spec.registry import wire

if TYPE_CHECKING:
    from isotune import plugins
    from isotune.data.sources.files import find_images
    from isotune.data.splitting.split import split
    from isotune.equivalence.certify import certify
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
    from isotune.experiment.by_hand import (
        Experiment,
        Step,
        continue_experiment,
        open_experiment,
    )
    from isotune.experiment.check_data import check_data
    from isotune.experiment.convert import convert
    from isotune.experiment.cross_validate import cross_validate
    from isotune.experiment.find_lr import find_lr
    from isotune.experiment.open import open_run
    from isotune.experiment.result import Run, show_curves
    from isotune.experiment.resume import resume
    from isotune.experiment.run import run
    from isotune.experiment.show_data import show_data
    from isotune.experiment.summary import summary
    from isotune.experiment.sweep import sweep
    from isotune.exporting.export import export
    from isotune.exporting.open import open_exported
    from isotune.fitting.fit import fit, propose_spec
    from isotune.hookspecs import hookimpl
    from isotune.spec.experiment import ExperimentSpec
    from isotune.spec.load import json_schema, load_spec

__version__ = "0.1.0"

_HOMES = {
    "BackendError": "isotune.errors",
    "DatasetError": "isotune.errors",
    "Experiment": "isotune.experiment.by_hand",
    "ExperimentSpec": "isotune.spec.experiment",
    "IsotuneError": "isotune.errors",
    "Run": "isotune.experiment.result",
    "RunError": "isotune.errors",
    "SpecError": "isotune.errors",
    "Step": "isotune.experiment.by_hand",
    "StoppedError": "isotune.errors",
    "TrainingError": "isotune.errors",
    "WeightsError": "isotune.errors",
    "certify": "isotune.equivalence.certify",
    "check_data": "isotune.experiment.check_data",
    "continue_experiment": "isotune.experiment.by_hand",
    "convert": "isotune.experiment.convert",
    "cross_validate": "isotune.experiment.cross_validate",
    "export": "isotune.exporting.export",
    "find_images": "isotune.data.sources.files",
    "find_lr": "isotune.experiment.find_lr",
    "fit": "isotune.fitting.fit",
    "hookimpl": "isotune.hookspecs",
    "json_schema": "isotune.spec.load",
    "load_spec": "isotune.spec.load",
    "open_experiment": "isotune.experiment.by_hand",
    "open_exported": "isotune.exporting.open",
    "open_run": "isotune.experiment.open",
    "propose_spec": "isotune.fitting.fit",
    "resume": "isotune.experiment.resume",
    "run": "isotune.experiment.run",
    "show_curves": "isotune.experiment.result",
    "show_data": "isotune.experiment.show_data",
    "split": "isotune.data.splitting.split",
    "summary": "isotune.experiment.summary",
    "sweep": "isotune.experiment.sweep",
}

__all__ = [
    "BackendError",
    "DatasetError",
    "Experiment",
    "ExperimentSpec",
    "IsotuneError",
    "Run",
    "RunError",
    "SpecError",
    "Step",
    "StoppedError",
    "TrainingError",
    "WeightsError",
    "__version__",
    "certify",
    "check_data",
    "continue_experiment",
    "convert",
    "cross_validate",
    "export",
    "find_images",
    "find_lr",
    "fit",
    "hookimpl",
    "json_schema",
    "load_spec",
    "open_experiment",
    "open_exported",
    "open_run",
    "plugins",
    "propose_spec",
    "resume",
    "run",
    "show_curves",
    "show_data",
    "split",
    "summary",
    "sweep",
]


def _load_extensions() -> None:
    import_module("isotune.plugins").plugins.load_extensions()


# What a spec may name is defined in packages that the spec's own may not import: here they meet.
wire(
    {
        "transform": "isotune.data.transforms",
        "dataset format": "isotune.data.sources",
        "schedule": "isotune.spec.schedules",
        "mixing rule": "isotune.data.mixing",
        "observer": "isotune.observers",
    },
    load_extensions=_load_extensions,
)


if not TYPE_CHECKING:  # for a type checker, every name that is not there would be Any

    def __getattr__(name: str) -> object:
        """Imports a public name when it is first used (PEP 562), so that importing stays light."""
        if name == "plugins":  # a module, so that it is the same whoever imports it first
            return import_module("isotune.plugins")
        if name not in _HOMES:
            raise AttributeError(f"module 'isotune' has no attribute '{name}'")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Lists the public names."""
    return sorted(__all__)
