"""What a notebook and a terminal show of results: short, escaped, and the same in both."""

from __future__ import annotations

import re

import pytest

import isotune
from isotune.experiment.result import Run
from tiny import experiment, make_images, numpy_plugins

HOSTILE = "<b>&\x1b[2J"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    images = make_images(folder / "images")
    for split in ("train", "val"):
        (images / split / "bees").rename(images / split / HOSTILE)
    spec = experiment(images)
    where = {"backend": "numpy", "plugins": numpy_plugins()}
    return isotune.run(spec, output=folder / "run", progress=False, **where)


def test_a_run_and_all_that_it_gives_are_short(run: Run) -> None:
    evaluation = run.evaluate()
    folder = run.path
    best = f"{run.best.val_accuracy:.2%} in epoch {run.best.epoch}"
    assert repr(run) == (
        "Run(tiny: model linear, 3 classes; images 9 train, 6 val; backend numpy on cpu; epochs 2;"
        f" best val accuracy {best}; folder {folder})"
    )
    assert repr(run.best).startswith(f"EpochMetrics(epoch {run.best.epoch}: train_loss ")
    assert f"val_accuracy {run.best.val_accuracy:.1%}" in repr(run.best)
    assert repr(evaluation).startswith("Evaluation(6 images: ")
    assert f"accuracy {evaluation.accuracy:.1%}" in repr(evaluation)
    assert len(repr(run.history).splitlines()) == 4
    for shown in (run, run.best, run.history, evaluation, run.spec):
        assert len(repr(shown)) < 1200
        page = shown._repr_html_()
        assert page.startswith(("<table>", "<pre "))
        assert "<b>" not in page
        assert "\x1b" not in page
    page = evaluation._repr_html_()
    assert "&lt;b&gt;&amp;\\x1b[2J" in page
    assert re.findall(r">(\d+)</td>", page)[1:] == [str(n) for n in evaluation.confusion.flat]


def test_the_history_is_a_sequence_and_a_data_frame(run: Run) -> None:
    pandas = pytest.importorskip("pandas")
    frame = run.history.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.epoch) == [epoch.epoch for epoch in run.history] == [1, 2]
    assert list(frame.val_accuracy) == [epoch.val_accuracy for epoch in run.history]
