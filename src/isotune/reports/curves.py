"""Learning curves of one run or several, in the same panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from isotune.errors import RunError, SpecError
from isotune.printable import printable
from isotune.reports.comparison import RunFigures
from isotune.reports.drawing import (
    FAINT,
    HEADING,
    INK,
    POINTS,
    SERIES,
    check_matplotlib,
    new_figure,
    styled,
    wrap,
)
from isotune.reports.metrics import further, heading, in_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 11.5, 3.9
"""Of the figure in inches, except the names of several runs."""

COLUMNS, ROW = 3, 3.2
"""Number of panels of every run, which make a row; height of each further row, in inches."""

TRAINING: Final = (0, (4, 2))
VALIDATION: Final = "solid"
"""Line styles."""

MARKERS = ("o", "s", "^", "D", "v")
"""With more runs than colors, colors repeat with the next marker."""

WIDE_RANGE = 30.0
"""Quotient of the largest and the smallest value above which a scale is logarithmic."""


def curves_figure(runs: Sequence[RunFigures], columns: int = COLUMNS) -> Figure:
    """Returns a figure of loss, accuracy and learning rate over the epochs of some runs.

    Further metrics that a run has are in further panels. An epoch without evaluation has no point
    in the curves of validation; a ring marks the epoch of a run's best checkpoint.

    Args:
        runs: The runs.
        columns: Number of panels in a row; above a single column there is no room for a heading.

    Raises:
        IsotuneError: Matplotlib is not installed.
        SpecError: There is no run.
        RunError: No epoch of a run has ended.
    """
    check_matplotlib()
    if not runs:
        raise SpecError("learning curves need a run or more.")
    for run in runs:
        if not run.history:
            raise RunError(f"{run.path}: no epoch has ended yet, so there is no curve.")
    with styled():
        return _draw(runs, distinct_names([run.path for run in runs]), columns)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Returns the last parts of each path, as many as distinguish different paths."""
    parts = [path.resolve().parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*each[-depth:])) for each in parts]
        if len(set(names)) == len(set(parts)):
            break
    return names


def _draw(runs: Sequence[RunFigures], names: Sequence[str], columns: int) -> Figure:
    several = len(runs) > 1
    extra = further(metrics for run in runs for metrics in run.history)
    count = COLUMNS + len(extra)
    rows = math.ceil(count / columns)
    height = HEIGHT + ROW * (rows - 1) + 0.2 * len(runs) * several
    width = WIDTH * columns / COLUMNS
    figure = new_figure(width, height, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    loss, accuracy, rate, *others = panels[:count]
    for empty in panels[count:]:
        empty.remove()
    for position, run in enumerate(runs):
        looks = _looks(position)
        training = {**looks, "linestyle": TRAINING}
        if not several:
            training["color"] = SERIES[1]
        _line(loss, run, "train_loss", training)
        _line(loss, run, "val_loss", looks)
        _line(accuracy, run, "train_accuracy", training)
        _line(accuracy, run, "val_accuracy", looks)
        _line(rate, run, "learning_rate", looks)
        _ring(accuracy, run, "val_accuracy", looks["color"])
        for axes, name in zip(others, extra, strict=True):
            _line(axes, run, name, looks if name.startswith("val_") else training)
            _ring(axes, run, name, looks["color"])
    _finish(rate, "learning rate")
    for axes, name in zip((loss, accuracy, *others), ("loss", "accuracy", *extra), strict=True):
        _finish(axes, heading(name))
        if in_percent(name):
            _in_percent(axes)
    for axes in (loss, rate):
        _scale(axes)
    mixed = [run.mixing is not None for run in runs]
    label = "training"
    if any(mixed):
        label += ", mixed images" if all(mixed) else ", mixed images where a run mixes them"
    _legend(figure, names, width, label, headed=columns > 1)
    return figure


def _looks(position: int) -> dict[str, Any]:
    return {
        "color": SERIES[position % len(SERIES)],
        "linestyle": VALIDATION,
        "marker": MARKERS[position // len(SERIES) % len(MARKERS)],
        "markersize": 3.5,
    }


def _line(axes: Axes, run: RunFigures, figure: str, looks: dict[str, Any]) -> None:
    values = [(metrics.epoch, getattr(metrics, figure, math.nan)) for metrics in run.history]
    points = [(epoch, value) for epoch, value in values if not math.isnan(value)]
    if points:
        axes.plot(*zip(*points, strict=True), **looks)


def _ring(axes: Axes, run: RunFigures, name: str, color: str) -> None:
    if run.best and not math.isnan(run.best.value(name)):
        place = [run.best.epoch], [run.best.value(name)]
        axes.plot(*place, "o", markersize=9, fillstyle="none", color=color)


def _finish(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(printable(title))
    axes.set_xlabel("epoch", color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _in_percent(axes: Axes) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _scale(axes: Axes) -> None:
    """Chooses a logarithmic scale for values far apart, else one that starts at 0."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    drawn = [value for line in axes.lines for value in np.asarray(line.get_ydata(), float)]
    if 0 < min(drawn, default=0) < max(drawn) / WIDE_RANGE:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif min(drawn, default=0) >= 0:
        axes.set_ylim(bottom=0)


def _legend(
    figure: Figure, names: Sequence[str], width: float, training: str, headed: bool
) -> None:
    """Explains the lines of training and validation, and the colors of several runs."""
    from matplotlib.lines import Line2D

    several = len(names) > 1
    ring: dict[str, Any] = {"marker": "o", "markersize": 9, "fillstyle": "none"}
    colors = (INK, INK) if several else (SERIES[1], SERIES[0])
    lines = [
        Line2D([], [], color=colors[0], linestyle=TRAINING, label=training),
        Line2D([], [], color=colors[1], linestyle=VALIDATION, label="validation"),
        Line2D([], [], color=colors[1], linestyle="none", **ring, label="best checkpoint"),
    ]
    spacing = 2.0 if headed else 1.0
    figure.legend(handles=lines, loc="outside upper right", ncols=len(lines), columnspacing=spacing)
    heading = "learning curves" if several else f"{names[0]}: learning curves"
    if headed:
        heading = wrap(heading, 0.55 * width * POINTS, HEADING, bold=True)
        figure.suptitle(heading, x=0.01, ha="left", fontsize=HEADING, fontweight="bold")
    if several:
        runs = [
            Line2D([], [], **_looks(position), label=wrap(name, 0.9 * width * POINTS, 9))
            for position, name in enumerate(names)
        ]
        figure.legend(handles=runs, loc="outside lower left")
