"""A bar chart of training steps with their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isotune.bench.results import Results, figures, machine
from isotune.reports.drawing import FAINT, HEADING, POINTS, SERIES, new_figure, styled, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 9.0
"""Width of the figure, in inches."""

BAR = 0.32
"""Height of a bar and its gap, in inches."""


def plot(results: Results) -> Figure:
    """Returns a figure with the images per second of every measured training step.

    Isotune's bars are blue, those of hand-written loops vermilion; whiskers show the interquartile
    range around the median step.

    Raises:
        IsotuneError: matplotlib is not installed.
    """
    with styled():
        return _draw(results)


def _draw(results: Results) -> Figure:
    from matplotlib.patches import Patch

    steps = list(figures(results, "step").items())[::-1]
    figure = new_figure(WIDTH, 1.6 + BAR * len(steps), layout="constrained")
    axes = figure.subplots()
    rates = [step["images_per_second"] for _, step in steps]
    colors = [SERIES[0] if key[-1] == "isotune" else SERIES[1] for key, _ in steps]
    whiskers = [_whisker(step) for _, step in steps]
    axes.barh(range(len(steps)), rates, xerr=whiskers, color=colors, ecolor=FAINT)
    axes.set_yticks(range(len(steps)), [_label(key) for key, _ in steps])
    axes.grid(axis="y", visible=False)
    axes.set_axisbelow(True)
    axes.set_xlabel("training images per second, with the batch on the device")
    for position, (rate, whisker) in enumerate(zip(rates, whiskers, strict=True)):
        end = (rate + whisker, position)
        axes.annotate(f"{rate:.1f}", end, (5, 0), textcoords="offset points", va="center")
    axes.margins(x=0.1)
    figure.legend(
        handles=[Patch(color=SERIES[0], label="Isotune"), Patch(color=SERIES[1], label="native")],
        loc="outside lower right",
        ncols=2,
    )
    heading = wrap(f"training steps: {machine(results)}", 0.9 * WIDTH * POINTS, HEADING, bold=True)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=HEADING, fontweight="bold")
    return figure


def _whisker(step: dict[str, Any]) -> float:
    """Returns half the interquartile range, in images per second."""
    return float(step["images_per_second"] * (step.get("step_ms_iqr") or 0) / step["step_ms"] / 2)


def _label(key: tuple[Any, ...]) -> str:
    model, batch, _, mode, precision, compiled, backend, *_ = key
    how = f"{precision}, compiled" if compiled == "yes" else precision
    return f"{backend}, {model}, {batch}, {mode}, {how}"
