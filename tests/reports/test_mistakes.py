from __future__ import annotations

import numpy as np
import pytest

from isotune.experiment.result import Run
from isotune.reports.drawing import WRONG
from isotune.reports.examples import Example
from isotune.reports.mistakes import (
    Mistakes,
    mistakes_figure,
    mistakes_table,
)


def test_mistakes_are_those_of_single_predictions_the_most_confident_first(run: Run):
    found = run.mistakes(count=100)
    evaluation = run.evaluate()
    wrong = evaluation.predicted != evaluation.labels
    assert found.images == 18
    assert len(found.shown) == found.count == wrong.sum() > 2
    for example in found.shown:
        assert not example.correct
        [(name, probability)] = run.predict(example.identity, top=1)
        assert example.predicted == name
        assert example.probability == pytest.approx(probability)
        assert f"/{example.label}/" in example.identity
    probabilities = [example.probability for example in found.shown]
    assert probabilities == sorted(probabilities, reverse=True)
    assert run.mistakes(count=2).shown[1].identity == found.shown[1].identity


def test_the_figure_and_the_table_name_the_images(run: Run):
    found = run.mistakes(count=2)
    titles = [axes.title for axes in mistakes_figure(found).axes]
    assert [title.get_color() for title in titles] == [WRONG, WRONG]
    rows = mistakes_table(found).rows
    assert [row[3] for row in rows] == [example.identity for example in found.shown]
    assert len(run.show_mistakes(count=1).axes) == 1


def test_only_the_end_of_a_long_path_is_shown():
    path = f"/{'long/' * 40}end.jpg"
    example = Example(np.zeros((2, 2, 3), np.uint8), "ants", "bees", 0.9, path)
    figure = mistakes_figure(Mistakes("tiny", "val", 3, 1, [example], (0,)))
    [note] = figure.axes[0].texts
    text = note.get_text().replace("\n", "")
    assert text.startswith("…")
    assert path.endswith(text[1:])


def test_no_mistake_is_told():
    figure = mistakes_figure(Mistakes("tiny", "val", 3, 0, [], ()))
    assert figure.texts[1].get_text() == "val: no mistake in 3 images"
