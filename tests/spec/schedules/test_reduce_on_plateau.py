"""Reduce on plateau, against PyTorch's ``ReduceLROnPlateau``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from isotune.errors import SpecError
from isotune.spec.load import load_spec
from isotune.spec.schedule import Moment, Warmup
from isotune.spec.schedules.reduce_on_plateau import ReduceOnPlateauSchedule
from tiny import experiment

LR = 0.1


class Epoch(dict[str, float]):
    """An epoch with these metrics."""

    def value(self, name: str) -> float:
        return self.get(name, math.nan)


def ours(spec: ReduceOnPlateauSchedule, values: list[float | None], each: int = 1) -> list[float]:
    """Returns the rates of `each` steps before and after each epoch with these values."""
    history = [Epoch({} if value is None else {spec.monitor: value}) for value in values]
    steps = range(each * (len(values) + 1))
    moments = [Moment(LR, step, each, len(values) + 1, history[: step // each]) for step in steps]
    return [spec.rates(moment).learning_rate for moment in moments]


def theirs(mode: str, values: list[float | None], **options: Any) -> list[float]:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, **options)
    rates = [LR]
    for value in values:
        if value is not None:
            scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


VALUES = st.lists(st.none() | st.integers(-3, 3).map(float) | st.floats(-1, 1), max_size=30)


@given(
    values=VALUES,
    monitor=st.sampled_from(["val_loss", "val_accuracy"]),
    factor=st.floats(0.05, 0.95),
    patience=st.integers(0, 4),
    threshold=st.floats(0, 0.5),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    cooldown=st.integers(0, 3),
    min_lr=st.sampled_from([0.0, 1e-3, 0.05, 1.0]),
    eps=st.sampled_from([0.0, 1e-8, 1e-3]),
)
@example(
    values=[1.0, 0.9, 0.9, None, 0.9, 0.9, 0.9, None, 0.9, 0.9, 0.9],
    monitor="val_loss",
    factor=0.5,
    patience=1,
    threshold=1e-4,
    threshold_mode="rel",
    cooldown=1,
    min_lr=0.0,
    eps=1e-8,
)
def test_every_epoch_is_pytorchs(values: list[float | None], monitor: str, **options: Any) -> None:
    spec = ReduceOnPlateauSchedule(name="reduce_on_plateau", monitor=monitor, **options)
    mode = "min" if monitor == "val_loss" else "max"
    assert ours(spec, values) == pytest.approx(theirs(mode, values, **options), rel=1e-12)


def test_its_defaults_are_pytorchs() -> None:
    values: list[float | None] = [1.0, *[0.99995] * 40]
    expected = theirs("min", values)
    assert len(set(expected)) == 4
    assert ours(ReduceOnPlateauSchedule(name="reduce_on_plateau"), values) == pytest.approx(
        expected, rel=1e-12
    )


def test_reductions_and_epochs_that_do_not_count() -> None:
    spec = ReduceOnPlateauSchedule(name="reduce_on_plateau", factor=0.5, patience=1)
    values = [1.0, 1.0, math.nan, None, math.inf, 1.0, 0.5]
    assert ours(spec, values) == [LR, LR, LR, LR, LR, LR, LR / 2, LR / 2]


def test_a_warmup_comes_on_top() -> None:
    warm = Warmup(epochs=2, start=0.25)
    spec = ReduceOnPlateauSchedule(name="reduce_on_plateau", patience=0, factor=0.5, warmup=warm)
    expected = [LR / 4, LR * 0.4375, LR * 0.625, LR * 0.8125, LR / 2, LR / 2]
    assert ours(spec, [1.0, 1.0], 2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("monitor", "metrics", "message"),
    [
        (
            "val_roc_auc",
            [],
            "spec: schedule.monitor is 'val_roc_auc', but should be 'val_loss' or 'val_accuracy'"
            " (or add roc_auc to metrics).",
        ),
        ("val_roc_auc", ["roc_auc"], None),
        ("val_lost", [], "spec: schedule.monitor is 'val_lost', but should be 'val_accuracy', "),
    ],
)
def test_the_monitor_is_checked(monitor: str, metrics: list[str], message: str | None) -> None:
    schedule = {"name": "reduce_on_plateau", "monitor": monitor}
    spec = experiment(Path("images"), schedule=schedule, metrics=metrics)
    if message is None:
        load_spec(spec)
        return
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    assert str(caught.value).startswith(message)
