"""The result of a range test, drawn."""

from __future__ import annotations

import pytest

from isotune.reports.loss_curve import loss_curve_figure, loss_curve_table
from isotune.training.loss_curve import LossCurve

CURVE = LossCurve(3, [0.01, 0.1, 1.0], [2.0, 1.0, 3.0], [2.0, 1.5, 2.25])
SUGGESTED = {"steepest slope": None, "valley": 0.1}


def test_the_figure_marks_what_is_suggested() -> None:
    pytest.importorskip("matplotlib")
    [axes] = loss_curve_figure(CURVE, SUGGESTED, "loss over the learning rate").axes
    losses, smoothed, mark = axes.lines
    assert list(losses.get_ydata()) == CURVE.losses
    assert list(smoothed.get_ydata()) == CURVE.smoothed
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([0.1], [1.5])
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()][2:] == ["valley: 0.1"]


def test_the_table_has_a_dash_for_what_is_not() -> None:
    assert loss_curve_table(CURVE, SUGGESTED).rows == [
        ("steepest slope", "-", "-"),
        ("valley", "0.1", "1.5000"),
    ]
