"""Draws the trials of a sweep."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from isotune.reports.sweep_figure import Scale, sweep_figure
from isotune.runs.sweep import SweepFolder
from isotune.spec.space.parameters import Parameter, Range, walk
from isotune.spec.space.read import read_space

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_sweep(path: str | Path) -> Figure:
    """Returns a figure of a sweep: its best value over the trials, and values by parameter.

    Args:
        path: The sweep's folder; its trials may go on meanwhile.

    Raises:
        RunError: It is not the folder of a sweep, no trial has ended, or a file is damaged.
        IsotuneError: Matplotlib is not installed.
    """
    folder = SweepFolder(Path(path))
    description, trials = folder.description(), folder.trials()
    known: dict[str, Parameter] = {}
    for parameter, _ in walk(read_space(description.space).parameters):
        known[parameter.name] = parameter
    scales = {name: _scale(each) for name, each in known.items()}
    importance = {}
    if find_spec("optuna") is not None:
        from isotune.experiment.sweeps.importance import importance_of

        importance = importance_of(known, description.monitor, trials)
    return sweep_figure(path, description.monitor, trials, scales, importance)


def _scale(parameter: Parameter) -> Scale:
    domain = parameter.domain
    if isinstance(domain, Range):
        return Scale(logarithmic=domain.log)
    return Scale(labels=tuple(choice.label for choice in domain.choices))
