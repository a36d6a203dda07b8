"""The reliability diagram shows the bins of the table, in place."""

from __future__ import annotations

import io

import numpy as np

from isotune.metrics.calibration import BINS, Reliability
from isotune.reports.calibration import reliability_figure, reliability_table

IMAGES = np.zeros(BINS, np.int64)
IMAGES[[8, 14]] = 1_200, 4
CONFIDENCE, ACCURACY = np.full((2, BINS), np.nan)
CONFIDENCE[[8, 14]] = 0.58, 1.0
ACCURACY[[8, 14]] = 0.5, 1.0
FIGURES = Reliability(IMAGES, CONFIDENCE, ACCURACY)


def test_the_table_has_the_bins_with_images() -> None:
    assert reliability_table(FIGURES).rows == [
        ("53.3% to 60.0%", "1,200", "58.0%", "50.0%", "-8.0"),
        ("93.3% to 100.0%", "4", "100.0%", "100.0%", "+0.0"),
    ]


def test_the_figure_has_a_bar_for_each_bin() -> None:
    figure = reliability_figure(FIGURES)
    accuracy, images = figure.axes
    assert [bar.get_height() for bar in accuracy.patches] == np.nan_to_num(ACCURACY).tolist()
    assert [bar.get_height() for bar in images.patches] == IMAGES.tolist()
    assert images.patches[8].get_x() == 8 / BINS
    dots = accuracy.lines[0]
    assert (list(dots.get_xdata()), list(dots.get_ydata())) == ([0.58, 1.0], [0.5, 1.0])
    figure.savefig(io.BytesIO())
