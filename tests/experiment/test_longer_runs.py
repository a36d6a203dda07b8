"""What a schedule does when a run is resumed with more epochs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import isotune
from isotune.experiment.result import Run
from tiny import experiment, make_images
from zoo import plugins, run

HIGH = {"name": "sgd", "lr": 1.0}
"""A learning rate that makes the validation loss go up and down."""


def resume(folder: Path, *overrides: str) -> Run:
    return isotune.resume(folder, device="cpu", plugins=plugins("numpy"), overrides=overrides)


def test_a_learning_rate_that_leaves_its_schedule_is_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = experiment(make_images(tmp_path / "images"), schedule="cosine", epochs=2)
    first = run("numpy", spec, tmp_path / "run").history
    assert [f"{metrics.learning_rate:.3g}" for metrics in first] == ["0.0075", "0.00067"]
    kept = shutil.copytree(tmp_path / "run", tmp_path / "kept")
    assert not caplog.messages
    resume(tmp_path / "run", "epochs=4")
    assert caplog.messages == [
        "the learning rate goes from 0.00067 to 0.005, since its schedule is now 4 epochs long"
        " instead of 2; --set schedule.epochs=2 would keep its course, with 0 now."
    ]
    caplog.clear()
    more = resume(kept, "epochs=4", "schedule.epochs=2")
    assert [metrics.learning_rate for metrics in more.history[2:]] == [0.0, 0.0]
    assert caplog.messages == [
        "schedule.epochs: is 2, after which the learning rate is 0: of the run's 4 epochs, those"
        " after epoch 2 change no parameter."
    ]


def test_a_schedule_that_was_planned_longer_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images, cosine = make_images(tmp_path / "images"), {"name": "cosine", "epochs": 4}
    whole = run("numpy", experiment(images, schedule=cosine, epochs=4), tmp_path / "whole")
    run("numpy", experiment(images, schedule=cosine, epochs=2), tmp_path / "parts")
    parts = resume(tmp_path / "parts", "epochs=4")
    assert not caplog.messages
    for mine, theirs in zip(parts.history, whole.history, strict=True):
        assert mine.values == theirs.values


def test_reductions_on_a_plateau_follow_from_the_history(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that was stopped, then made longer, goes on as one that was always that long."""
    plateau = {"name": "reduce_on_plateau", "patience": 0, "factor": 0.5, "warmup": {"epochs": 1}}
    options = {"schedule": plateau, "evaluation": {"every": 2}, "optimizer": HIGH}
    images = make_images(tmp_path / "images")
    whole = run("numpy", experiment(images, **options, epochs=8), tmp_path / "whole")
    run("numpy", experiment(images, **options, epochs=4), tmp_path / "parts")
    parts = resume(tmp_path / "parts", "epochs=8")
    rates = [metrics.learning_rate for metrics in parts.history]
    assert rates == [metrics.learning_rate for metrics in whole.history]
    assert len(set(rates[4:])) > 1
    assert not caplog.messages


def test_one_cycle_that_ends_before_the_run_is_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = experiment(make_images(tmp_path / "images"), schedule="one_cycle", epochs=2)
    run("numpy", spec, tmp_path / "run")
    resume(tmp_path / "run", "epochs=3", "schedule.epochs=2")
    assert caplog.messages == [
        "schedule.epochs: is 2, after which the learning rate is 4e-08: of the run's 3 epochs,"
        " those after epoch 2 hardly change any parameter."
    ]
