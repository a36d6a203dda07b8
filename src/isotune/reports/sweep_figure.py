"""A figure of a sweep: the best value over its trials, and the values by each parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isotune.errors import RunError
from isotune.interfaces.sweep import Trial, TrialState
from isotune.metrics import monitored
from isotune.printable import printable, shortened
from isotune.reports.drawing import (
    CORRECT,
    FAINT,
    HEADING,
    POINTS,
    SERIES,
    WRONG,
    check_matplotlib,
    new_figure,
    styled,
    wrap,
)
from isotune.reports.metrics import heading, in_percent
from isotune.reports.sweep import counts, parameter_names, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW = 3.8, 2.9
"""Size of a panel in inches."""

COLUMNS = 3

MOST_PANELS = 12
"""Number of parameters that are drawn; the others are left out."""

LABEL = 18
"""Number of characters of a choice."""


@dataclass(frozen=True)
class Scale:
    """How a parameter is drawn.

    Attributes:
        logarithmic: Whether equal quotients are equally far apart.
        labels: Labels of its choices, in order.
    """

    logarithmic: bool = False
    labels: tuple[str, ...] = ()


DRAWN: dict[TrialState, tuple[str, str]] = {"complete": (CORRECT, "o"), "pruned": (FAINT, "x")}
"""Color and marker of trials that have a value."""


def sweep_figure(
    path: str | Path,
    monitor: str,
    trials: Sequence[Trial],
    scales: Mapping[str, Scale],
    importance: Mapping[str, float] | None = None,
) -> Figure:
    """Returns a figure of the trials that have a value; a ring marks the best one.

    Args:
        path: The sweep's folder, for the heading.
        monitor: Name of the metric by which trials are compared.
        trials: The trials.
        scales: How parameters are drawn, by name; those of others have the default.
        importance: Shares of parameters in what makes trials good.

    Raises:
        IsotuneError: Matplotlib is not installed.
        RunError: No trial has a value.
    """
    check_matplotlib()
    with_value = [trial for trial in trials if trial.state in DRAWN and trial.value is not None]
    if not with_value:
        raise RunError(f"{path}: no trial has ended with a value yet, so there is no figure.")
    shares = importance or {}
    names = sorted(parameter_names(with_value), key=lambda name: -shares.get(name, 0.0))
    names = names[:MOST_PANELS]
    with styled():
        rows = math.ceil((len(names) + 1) / COLUMNS)
        columns = min(COLUMNS, len(names) + 1)
        figure = new_figure(WIDTH * columns, ROW * rows + 0.6, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        best = next(iter(ranked(monitor, trials)), None)
        _history(panels[0], monitor, with_value, best)
        for axes, name in zip(panels[1:], names, strict=False):
            _by_parameter(axes, monitor, name, with_value, best, scales.get(name, Scale()))
            share = f", importance {shares[name]:.0%}" if name in shares else ""
            axes.set_title(shortened(printable(name), 40) + share)
        for empty in panels[len(names) + 1 :]:
            empty.remove()
        for row in range(rows):
            panels[row * columns].set_ylabel(heading(monitor), color=FAINT)
        _legend(figure, f"{Path(path).name}: {counts(trials)}", WIDTH * columns)
        return figure


def _history(axes: Axes, monitor: str, trials: Sequence[Trial], best: Trial | None) -> None:
    from matplotlib.ticker import MaxNLocator

    _points(axes, monitor, trials, [trial.number for trial in trials], best)
    sign = 1 if monitored(monitor).higher_is_better else -1
    reached, steps = -math.inf, []
    for trial in trials:
        if trial.state == "complete":
            reached = max(reached, sign * (trial.value or 0.0))
            steps.append((trial.number, sign * reached))
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color=SERIES[1], zorder=1)
    axes.set_title("trials in their order")
    axes.set_xlabel("trial", color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _by_parameter(
    axes: Axes,
    monitor: str,
    name: str,
    trials: Sequence[Trial],
    best: Trial | None,
    scale: Scale,
) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    having = [trial for trial in trials if name in trial.parameters]
    values = [trial.parameters[name] for trial in having]
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) == len(values):
        _points(axes, monitor, having, numbers, best)
        if scale.logarithmic and min(numbers) > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        return
    labels = list(dict.fromkeys([*scale.labels, *map(str, values)]))
    _points(axes, monitor, having, [labels.index(str(value)) for value in values], best)
    shown = [shortened(printable(label), LABEL) for label in labels]
    axes.set_xticks(range(len(labels)), shown, rotation=30 if len(labels) > 3 else 0)
    axes.set_xlim(-0.5, len(labels) - 0.5)


def _points(
    axes: Axes,
    monitor: str,
    trials: Sequence[Trial],
    places: Sequence[float],
    best: Trial | None,
) -> None:
    from matplotlib.ticker import PercentFormatter

    for state, (color, marker) in DRAWN.items():
        here = [
            (place, trial.value)
            for place, trial in zip(places, trials, strict=True)
            if trial.state == state
        ]
        if here:
            axes.plot(*zip(*here, strict=True), marker, color=color, markersize=4.5, alpha=0.7)
    for place, trial in zip(places, trials, strict=True):
        if trial == best:
            value = [trial.value or 0.0]
            axes.plot([place], value, "o", markersize=11, fillstyle="none", color=WRONG)
    if in_percent(monitor):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _legend(figure: Figure, title: str, width: float) -> None:
    from matplotlib.lines import Line2D

    lines = [
        Line2D([], [], color=color, marker=marker, linestyle="none", label=state)
        for state, (color, marker) in DRAWN.items()
    ]
    look: dict[str, Any] = {"marker": "o", "markersize": 11, "fillstyle": "none"}
    ring = Line2D([], [], color=WRONG, linestyle="none", label="best", **look)
    so_far = Line2D([], [], color=SERIES[1], label="best so far")
    figure.legend(handles=[*lines, ring, so_far], loc="outside lower left", ncols=4)
    text = wrap(title, 0.95 * width * POINTS, HEADING, bold=True)
    figure.suptitle(text, x=0.01, ha="left", fontsize=HEADING, fontweight="bold")
