"""The result of a learning-rate range test, as a figure and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isotune.reports.drawing import FAINT, HEADING, POINTS, SERIES, new_figure, styled, wrap
from isotune.reports.numbers import loss, significant
from isotune.reports.tables import Table
from isotune.training.loss_curve import LossCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 6.4, 4.0
"""Of the figure, in inches."""


def loss_curve_table(curve: LossCurve, suggestions: Mapping[str, float | None]) -> Table:
    """Returns a table with a row for each suggested learning rate.

    Args:
        curve: The loss over the learning rate.
        suggestions: Learning rates of the curve, or None, by what suggests them.
    """
    table = Table(["suggested by", "learning rate", "smoothed loss"])
    for name, rate in suggestions.items():
        table.add(name, significant(rate), loss(None if rate is None else curve.loss_at(rate)))
    return table


def loss_curve_figure(
    curve: LossCurve, suggestions: Mapping[str, float | None], title: str
) -> Figure:
    """Returns the loss over the learning rate, which has a logarithmic scale.

    Args:
        curve: The loss over the learning rate.
        suggestions: Learning rates of the curve to mark, by what suggests them.
        title: The figure's heading.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    with styled():
        from matplotlib.ticker import StrMethodFormatter

        figure = new_figure(WIDTH, HEIGHT, layout="constrained")
        axes = figure.subplots()
        axes.plot(curve.rates, curve.losses, color=FAINT, linewidth=0.7, label="loss")
        axes.plot(curve.rates, curve.smoothed, color=SERIES[0], label="smoothed loss")
        for number, (name, rate) in enumerate(suggestions.items(), 1):
            if rate is not None:
                place, size = ([rate], [curve.loss_at(rate)]), 12 - 3 * number  # may coincide
                label = f"{name}: {significant(rate, 2)}"
                axes.plot(*place, "o", color=SERIES[number], markersize=size, label=label)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        lowest, highest = min(curve.losses), max(curve.losses[0], *curve.smoothed)
        axes.set_ylim(max(lowest - 0.05 * (highest - lowest), 0), 1.05 * highest)
        axes.legend()
        heading = wrap(title, 0.95 * WIDTH * POINTS, HEADING, bold=True)
        figure.suptitle(heading, x=0.01, ha="left", fontsize=HEADING, fontweight="bold")
        return figure
