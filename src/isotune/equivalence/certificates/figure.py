"""A figure of a certificate: differences by depth, and how the sides drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from isotune.equivalence.certificates.certificate import (
    Certificate,
    Compared,
    ComparedDrift,
    ComparedStep,
)
from isotune.equivalence.certificates.wording import own_drift, side_names
from isotune.equivalence.traces.trace import STAGES, key
from isotune.printable import printable, shortened
from isotune.reports.drawing import (
    FAINT,
    HEADING,
    INK,
    POINTS,
    SERIES,
    WRONG,
    new_figure,
    styled,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 11.5, 4.8
"""Of the figure, in inches."""

ACCUMULATED, LOCAL, ALLOWED = SERIES[0], SERIES[1], FAINT

LOWEST, HIGHEST = 1e-12, 1e3
"""Smaller and larger differences, infinity and NaN among them, are drawn here."""

LABEL = 40
"""Number of characters of a layer's path."""


def certificate_figure(certificate: Certificate) -> Figure:
    """Returns the differences of a step by depth and, if it is known, the drift.

    The step is the one in which the sides part, or the first one. Values stand in order of
    execution; those that are equal lie on the lower edge.

    Raises:
        IsotuneError: Matplotlib is not installed.
    """
    with styled():
        figure = new_figure(WIDTH, HEIGHT, layout="constrained")
        drift = certificate.drift
        if drift is not None and drift.between:
            depth, over_steps = figure.subplots(1, 2, width_ratios=(2.4, 1))
            _draw_drift(over_steps, drift, certificate)
            _legend(figure, over_steps, "right")
        else:
            depth = figure.subplots()
        _draw_depth(depth, certificate)
        _legend(figure, depth, "left")
        names = (shortened(printable(name), 2 * LABEL) for name in side_names(certificate.sides))
        title = f"{' and '.join(names)}: {certificate.verdict}"
        text = wrap(title, 0.95 * WIDTH * POINTS, HEADING, bold=True)
        figure.suptitle(text, x=0.01, ha="left", fontsize=HEADING, fontweight="bold")
        return figure


def _legend(figure: Figure, axes: Axes, side: Literal["left", "right"]) -> None:
    """Explains a panel's lines below it."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        place: Final = "outside lower left" if side == "left" else "outside lower right"
        figure.legend(handles, labels, loc=place, ncols=2)


def _draw_depth(axes: Axes, certificate: Certificate) -> None:
    step = _shown_step(certificate)
    if step is None or not step.values:
        axes.set_title("no values are compared")
        return
    edge = _edge(step.values)
    _logarithmic(axes, edge)
    axes.set_ylabel("relative difference", color=FAINT)
    axes.set_title(f"step {step.step}, in order of execution", pad=18)
    allowed = [_drawn(value.allowed, edge) for value in step.values]
    axes.plot(allowed, color=ALLOWED, linewidth=1.0, drawstyle="steps-mid", label="allowed")
    _points(axes, step.values, edge)
    _mark_stages(axes, step.values)
    _mark_place(axes, certificate, step, edge)
    axes.set_xlim(-0.5, len(step.values) - 0.5)
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")


def _edge(values: Sequence[Compared]) -> float:
    """Returns where differences of 0 are drawn: at least a decade below all others."""
    known = (value for each in values for value in (each.difference, each.local, each.allowed))
    least = min((value for value in known if value is not None and value > 0), default=LOWEST)
    return max(LOWEST, 10.0 ** (math.floor(math.log10(min(least, 1.0))) - 1))


def _logarithmic(axes: Axes, edge: float) -> None:
    """Gives differences a logarithmic scale, on which `edge` stands for 0."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    def text(value: float, position: int | None = None) -> str:
        return "0" if value <= 1.01 * edge else f"1e{math.log10(value):.0f}"

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(text))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _shown_step(certificate: Certificate) -> ComparedStep | None:
    wanted = None if certificate.place is None else certificate.place.step
    found = [step for step in certificate.steps if step.step == wanted]
    return next(iter([*found, *certificate.steps]), None)


def _points(axes: Axes, values: Sequence[Compared], edge: float) -> None:
    size = min(5.0, max(2.5, 500 / len(values)))
    accumulated = [_drawn(value.difference, edge) for value in values]
    style: dict[str, Any] = {"linestyle": "none", "markersize": size}
    axes.plot(range(len(values)), accumulated, "o", color=ACCUMULATED, label="accumulated", **style)
    known = [(n, value.local) for n, value in enumerate(values) if value.local is not None]
    if known:
        places, local = zip(*((n, _drawn(value, edge)) for n, value in known), strict=True)
        axes.plot(places, local, "D", color=LOCAL, fillstyle="none", label="local", **style)
        bounds = [
            _drawn(v.local_allowed or 0.0, edge) if v.local is not None else math.nan
            for v in values
        ]
        axes.plot(bounds, color=LOCAL, linewidth=1.0, linestyle="dotted", label="allowed locally")


def _drawn(value: float, edge: float) -> float:
    """Returns a difference for a logarithmic axis: neither 0 nor infinite."""
    return HIGHEST if math.isnan(value) else min(max(value, edge), HIGHEST)


def _mark_stages(axes: Axes, values: Sequence[Compared]) -> None:
    """Divides the stages by lines and names those that have room."""
    stages = [value.key.partition("/")[0] for value in values]
    for stage in STAGES:
        inside = [n for n, each in enumerate(stages) if each == stage]
        if not inside:
            continue
        if inside[0]:
            axes.axvline(inside[0] - 0.5, color=FAINT, linewidth=0.5)
        if len(inside) > 0.05 * len(values):
            middle = (inside[0] + inside[-1]) / 2
            axes.annotate(
                stage,
                (middle, 1.0),
                xytext=(0, 4),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=FAINT,
            )


def _mark_place(axes: Axes, certificate: Certificate, step: ComparedStep, edge: float) -> None:
    place = certificate.place
    stage = next((each for each in STAGES if place is not None and each == place.stage), None)
    if place is None or stage is None or place.step != step.step:
        return
    wanted = key(stage, place.name)
    for depth, value in enumerate(step.values):
        if value.key != wanted:
            continue
        at = (depth, _drawn(value.difference, edge))
        axes.plot(*at, "o", markersize=11, fillstyle="none", color=WRONG)
        left = depth < len(step.values) / 2
        axes.annotate(
            shortened(printable(place.name), LABEL) or "the model",
            at,
            xytext=(12 if left else -12, -20),
            textcoords="offset points",
            ha="left" if left else "right",
            color=WRONG,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )


def _draw_drift(axes: Axes, drift: ComparedDrift, certificate: Certificate) -> None:
    from matplotlib.ticker import MaxNLocator

    steps, owns = range(1, len(drift.between) + 1), [own_drift(drift, side) for side in (0, 1)]
    positive = [each for each in (*drift.between, *owns[0], *owns[1]) if each > 0]
    edge = max(LOWEST, min(positive, default=1e-6) / 10)
    _logarithmic(axes, edge)
    axes.set_title("drift of the parameters", pad=18)
    axes.set_xlabel("step", color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    names = [
        f"{shortened(printable(each), LABEL)} from itself" for each in side_names(certificate.sides)
    ]
    lines: tuple[tuple[str, Sequence[float], dict[str, Any]], ...] = (
        ("allowed", drift.allowed, {"color": ALLOWED, "linewidth": 1.0}),
        ("between", drift.between, {"color": INK, "marker": "o", "markersize": 4}),
        (
            names[0],
            owns[0],
            {"color": SERIES[2], "marker": "s", "markersize": 3.5, "linestyle": "dashed"},
        ),
        (
            names[1],
            owns[1],
            {"color": SERIES[3], "marker": "D", "markersize": 3.5, "linestyle": "dashed"},
        ),
    )
    for label, values, style in lines:
        axes.plot(steps, [_drawn(value, edge) for value in values], label=label, **style)
