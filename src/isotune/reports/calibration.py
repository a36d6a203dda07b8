"""The reliability diagram of a model, as a figure and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isotune.metrics.calibration import BINS, Reliability
from isotune.reports.drawing import FAINT, SERIES, new_figure, styled
from isotune.reports.numbers import percent
from isotune.reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, BELOW = 4.4, 1.3
"""Side of the diagram and height of the histogram below it, in inches."""


def reliability_table(reliability: Reliability) -> Table:
    """Returns a table with a row per bin of confidence that has images."""
    table = Table(["confidence", "images", "mean confidence", "accuracy", "difference"])
    for number, (images, confidence, accuracy) in enumerate(zip(*reliability, strict=True)):
        if images:
            edges = f"{percent(number / BINS)} to {percent((number + 1) / BINS)}"
            difference = f"{100 * (accuracy - confidence):+.1f}"
            table.add(edges, f"{images:,}", percent(confidence), percent(accuracy), difference)
    return table


def reliability_figure(reliability: Reliability) -> Figure:
    """Returns a reliability diagram: accuracy over confidence, and the number of images below.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    with styled():
        return _draw(reliability)


def _draw(reliability: Reliability) -> Figure:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = new_figure(SIDE, SIDE + BELOW, layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(SIDE, BELOW))
    for panel in (axes, below):
        panel.set_axisbelow(True)
    left = np.arange(BINS) / BINS
    bars = {"width": 1 / BINS, "align": "edge", "edgecolor": "white", "linewidth": 0.8}
    axes.bar(left, np.nan_to_num(reliability.accuracy), color=SERIES[0], label="accuracy", **bars)
    has = reliability.images > 0
    axes.plot(
        reliability.confidence[has], reliability.accuracy[has], "o", markersize=4, clip_on=False,
        color=SERIES[1], label="at the mean confidence",
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=(0, (4, 2)), label="perfect calibration")
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy")
    below.bar(left, reliability.images, color=FAINT, **bars)
    below.set_xlim(0, 1)
    below.set_xlabel("confidence")
    below.set_ylabel("images")
    below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    return figure
