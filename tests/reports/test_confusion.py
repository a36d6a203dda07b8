from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.experiment.result import Run
from isotune.reports.confusion import confusion_figure


def numbers(matrix: NDArray[np.int64]) -> list[str]:
    """Returns what the cells of its figure say, row by row."""
    names = [f"class {label}" for label in range(len(matrix))]
    return [text.get_text() for text in confusion_figure(matrix, names, "x", "val").axes[0].texts]


def test_cells_hold_counts_and_shares_of_their_row():
    cells = numbers(np.array([[3, 1], [0, 2]]))
    assert cells == ["3", "75.0%", "1", "25.0%", "0", "2", "100.0%"]


def test_a_class_without_images_has_no_shares():
    assert numbers(np.array([[0, 0], [0, 2]])) == ["0", "0", "0", "2", "100.0%"]


def test_many_classes_have_no_zeros_and_very_many_no_numbers():
    assert numbers(np.eye(100, dtype=np.int64)) == ["1", "100%"] * 100
    assert numbers(np.eye(101, dtype=np.int64)) == []


@pytest.mark.parametrize("classes", [2, 9, 30, 31, 100, 300])
def test_names_stay_in_the_figure_and_apart(classes: int):
    names = [f"a rather long {'name ' * (label % 4)}{label}" for label in range(classes)]
    figure = confusion_figure(np.eye(classes, dtype=np.int64), names, "x", "val")
    figure.savefig(io.BytesIO(), format="png", dpi=figure.dpi)
    [axes] = figure.axes
    labels = axes.get_yticklabels()
    assert labels[0].get_text() == names[0]
    texts = [*labels, *axes.get_xticklabels(), axes.xaxis.label, axes.yaxis.label, *figure.texts]
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))


def test_a_runs_matrix_is_that_of_its_evaluation(run: Run):
    figure = run.show_confusion()
    found = run.evaluate()
    counts = [text.get_text() for text in figure.axes[0].texts if "%" not in text.get_text()]
    assert counts == [str(number) for number in found.confusion.ravel()]
    assert figure.texts[1].get_text() == f"val: {found.accuracy * 100:.2f}% of 18 images correct"
