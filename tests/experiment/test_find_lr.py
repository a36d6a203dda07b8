"""Range tests of whole experiments."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.errors import SpecError, StoppedError
from isotune.experiment.find_lr import LearningRates
from isotune.spec.load import load_spec
from isotune.training.loss_curve import LossCurve
from tiny import experiment, make_images
from zoo import plugins, run

LR = 0.02
FINEST = {"start": LR, "end": float(np.nextafter(LR, 1)), "steps": 20}
"""A range test at one learning rate."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def find(backend: str, spec: dict[str, Any], **options: Any) -> LearningRates:
    return isotune.find_lr(spec, backend=backend, device="cpu", plugins=plugins(backend), **options)


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 2, "clip_grad_norm": 0.1, "mixing": {"mixup": 0.2, "probability": 0.5}},
        {"accumulate": 2, "shards": 2},
    ],
)
def test_at_one_learning_rate_it_is_a_run(
    changes: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    """With its batches, updates and losses, at a constant learning rate and momentum."""
    optimizer = {"name": "sgd", "lr": LR, "momentum": 0.9}
    spec = experiment(images, optimizer=optimizer, drop_last=True, batch_size=2, epochs=3)
    spec |= changes
    history = run("numpy", spec, tmp_path / "run").history
    before = content(tmp_path)
    spec |= {"schedule": "one_cycle", "ema": {}, "optimizer": {**optimizer, "lr": 0.9}}
    found = find("numpy", spec, **FINEST)
    assert content(tmp_path) == before
    updates = 4 // changes.get("accumulate", 1)  # an epoch
    losses = np.reshape(found.curve.losses[: 3 * updates], (3, updates)).mean(axis=1)
    assert losses == pytest.approx([metrics.train_loss for metrics in history], rel=1e-6)
    assert len(found.curve.losses) == 20


def test_it_ends_where_the_loss_diverges(images: Path) -> None:
    seen: list[int] = []
    spec = experiment(images, optimizer={"name": "sgd", "lr": 0.1})
    found = find("numpy", spec, end=1e6, on_step=lambda curve: seen.append(len(curve.rates)))
    assert found.curve.diverged
    assert seen == list(range(1, len(found.curve.rates) + 1))
    assert len(seen) < 100


def test_a_start_that_is_too_high_is_told(images: Path) -> None:
    found = find("numpy", experiment(images), start=1e3, end=1e8)
    assert found.line().startswith("the loss diverged at the learning rate 1")
    assert found.line().endswith(" before it had fallen: a smaller start may help.")


def test_the_line_is_the_specs_with_the_valleys_rate(images: Path) -> None:
    optimizer = {"momentum": 0.9, "name": "sgd", "lr": 0.5}
    spec = load_spec(experiment(images, optimizer=optimizer))
    found = LearningRates(spec, "numpy", "cpu", LossCurve(20, [1e-7, 1.0]), 0.1, 0.0123456)
    assert found.line() == "optimizer: {name: sgd, lr: 0.012, momentum: 0.9}"
    nothing = LearningRates(spec, "numpy", "cpu", LossCurve(20, [1e-7, 1.0]), None, None)
    assert nothing.line() == (
        "the loss does not fall at any learning rate from 1e-07 to 1: more steps, another range or"
        " larger batches may help."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1, "end": 0.1}, "start is 1 and end 0.1, but they should be above 0 and end"),
        ({"start": 0}, "start is 0 and end 10, but they should be above 0 and end the larger."),
        ({"end": float("inf")}, "start is 1e-07 and end inf, but"),
        ({"steps": 19}, "steps is 19, but should be at least 20."),
    ],
)
def test_refuses(options: dict[str, Any], message: str, images: Path) -> None:
    with pytest.raises(SpecError) as caught:
        find("numpy", experiment(images), **options)
    assert str(caught.value).startswith(message)


def test_a_signal_stops_it(images: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(StoppedError, match=r"^stopped by SIGINT; nothing was written\.$"):
        find("numpy", experiment(images), on_step=lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is handler
