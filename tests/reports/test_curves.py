from __future__ import annotations

import io
import math
from pathlib import Path

import pytest

import isotune
from isotune.errors import RunError
from isotune.experiment.result import Run
from isotune.reports.comparison import read_figures
from isotune.reports.curves import SERIES, curves_figure, distinct_names
from made_runs import made_run

CURVE = [(2.0, 0.5), (1.0, 0.75), (0.5, 0.7)]


def test_a_runs_curves_are_its_history(run: Run):
    [metrics] = run.history
    loss, accuracy, rate = run.show_curves().axes
    assert [list(line.get_ydata()) for line in loss.lines] == [
        [metrics.train_loss],
        [metrics.val_loss],
    ]
    assert list(accuracy.lines[0].get_ydata()) == [metrics.train_accuracy]
    assert list(rate.lines[0].get_ydata()) == [metrics.learning_rate]


def test_runs_are_told_apart_by_color_and_name(tmp_path: Path):
    folders = [made_run(tmp_path / name, CURVE, summary={}) for name in ("one", "two")]
    figure = isotune.show_curves(folders)
    colors = {line.get_color() for line in figure.axes[2].lines}
    assert colors == set(SERIES[:2])
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert texts == ["training", "validation", "best checkpoint", "one", "two"]


def test_the_legend_says_which_training_images_were_mixed(tmp_path: Path):
    mixing = {"mixup": 0.2}
    plain = made_run(tmp_path / "plain", CURVE, summary={})
    mixed = made_run(tmp_path / "mixed", CURVE, summary={}, mixing=mixing)
    for folders, text in (
        ([mixed], "training, mixed images"),
        ([plain, mixed], "training, mixed images where a run mixes them"),
    ):
        (first, *_) = isotune.show_curves(folders).legends[0].get_texts()
        assert first.get_text() == text


def test_panels_may_stand_in_one_column(tmp_path: Path):
    run = read_figures(made_run(tmp_path / "run", CURVE, summary={}))
    wide, narrow = curves_figure([run]), curves_figure([run], columns=1)
    assert narrow.get_figwidth() * 3 == pytest.approx(wide.get_figwidth())
    for figure, lefts in ((wide, 3), (narrow, 1)):
        figure.savefig(io.BytesIO())
        assert len({round(axes.get_position().x0, 1) for axes in figure.axes}) == lefts
    [legend] = narrow.legends
    frame = legend.get_window_extent()
    assert frame.x0 >= 0
    assert frame.x1 <= narrow.bbox.x1


def test_the_best_epoch_is_ringed(tmp_path: Path):
    accuracy = isotune.show_curves([made_run(tmp_path / "run", CURVE, summary={})]).axes[1]
    ring = accuracy.lines[-1]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([2], [0.75])


def test_epochs_without_evaluation_are_passed_over(tmp_path: Path):
    folder = made_run(tmp_path / "run", [(2.0, 0.5), (1.0, math.nan), (0.5, 0.7)])
    accuracy = isotune.show_curves([folder]).axes[1]
    assert list(accuracy.lines[1].get_xdata()) == [1, 3]
    assert list(accuracy.lines[0].get_xdata()) == [1, 2, 3]
    never = made_run(tmp_path / "never", [(2.0, math.nan)])
    assert len(isotune.show_curves([never]).axes[1].lines) == 1


def test_losses_far_apart_get_a_logarithmic_scale(tmp_path: Path):
    made_run(tmp_path / "far", [(100.0, 0.5), (0.1, 0.6)])
    made_run(tmp_path / "near", [(1.0, 0.5), (0.5, 0.6)])
    figure = isotune.show_curves([tmp_path / "far"])
    assert figure.axes[0].get_yscale() == "log"
    figure.savefig(io.BytesIO())
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert {"0.1", "1", "10", "100"} <= set(labels)
    assert isotune.show_curves([tmp_path / "near"]).axes[0].get_yscale() == "linear"


def test_names_are_as_long_as_tells_runs_apart(tmp_path: Path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "a" / "run"]
    assert distinct_names(paths) == ["a/run", "b/run", "a/run"]
    assert distinct_names(paths[:1]) == ["run"]


def test_a_run_without_an_epoch_has_no_curve(tmp_path: Path):
    made_run(tmp_path / "new", [])
    with pytest.raises(RunError, match="no epoch has ended yet"):
        isotune.show_curves([tmp_path / "new"])
