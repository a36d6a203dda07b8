from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from isotune.experiment.result import Run
from isotune.reports.drawing import CORRECT, WRONG, write_figure
from isotune.reports.examples import Example
from isotune.reports.predictions import prediction_figure


def example(predicted: str) -> Example:
    return Example(np.zeros((4, 6, 3), np.uint8), "ants", predicted, 0.9)


def test_right_predictions_are_blue_and_wrong_ones_red_and_say_what_is_right():
    figure = prediction_figure([example("ants"), example("bees"), example("ants")], "tiny", "val")
    titles = [axes.title for axes in figure.axes]
    assert [title.get_text() for title in titles] == [
        "ants 90.0%",
        "bees 90.0% (true: ants)",
        "ants 90.0%",
    ]
    assert [title.get_color() for title in titles] == [CORRECT, WRONG, CORRECT]
    heading, detail = (text.get_text() for text in figure.texts)
    assert heading == "tiny: predictions"
    assert detail == "val: 2 of 3 images correct (blue), 1 wrong (red)"


def test_examples_are_images_of_all_classes_with_the_runs_predictions(run: Run):
    found = run.examples(count=3)
    assert [each.label for each in found] == ["ants", "bees", "cats"]
    image = Path(run.spec.dataset.path) / "val" / "ants" / "3.png"
    assert found[0].identity == str(image)
    assert (found[0].image == np.asarray(Image.open(image))).all()
    assert (found[0].predicted, found[0].probability) == run.predict(image)[0]


def test_a_runs_figure_has_the_images_asked_for(run: Run):
    figure = run.show_predictions(count=8, split="train")
    assert len(figure.axes) == 8
    assert figure.texts[1].get_text().startswith("train: ")


def test_an_image_of_all_there_are_is_written_and_replaced(run: Run, tmp_path: Path):
    path = tmp_path / "predictions.png"
    for _ in range(2):
        assert write_figure(run.show_predictions(count=1000), path) == path
        with Image.open(path) as image:
            assert image.format == "PNG"
    assert [entry.name for entry in tmp_path.glob(".*")] == []
