"""What a range test's losses suggest."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from isotune.training.loss_curve import LossCurve, growing_rates

STEPS = 100


def curve_of(loss: Callable[[float], float], steps: int = STEPS) -> LossCurve:
    """Returns the curve of losses that are a function of the rate's power of ten."""
    curve = LossCurve(steps)
    for rate in growing_rates(1e-7, 10, steps):
        curve.add(rate, loss(math.log10(rate)))
        if curve.diverged:
            break
    return curve


def test_rates_grow_by_the_same_factor() -> None:
    rates = growing_rates(1e-7, 10, 5)
    assert rates == pytest.approx([1e-7, 1e-5, 1e-3, 1e-1, 10])


def test_losses_are_smoothed_with_bias_correction() -> None:
    """The running mean weighs a loss by 0.98 to the power of its age; weights add up to 1."""
    losses = np.random.default_rng(0).uniform(1, 2, 30)
    curve = LossCurve(30)
    for step, loss in enumerate(losses):
        curve.add(10.0**-step, float(loss))
    for step in (0, 1, 29):
        weights = 0.98 ** np.arange(step, -1, -1)
        assert curve.smoothed[step] == pytest.approx(
            np.average(losses[: step + 1], weights=weights)
        )


def test_suggestions_are_in_the_fall() -> None:
    """The loss falls between 1e-5 and 1e-1, fastest at 1e-3; smoothing delays both a little."""

    def fall(power: float) -> float:
        return 2 - 1 / (1 + math.exp(-3 * (power + 3))) + (math.exp(4 * power) if power > -1 else 0)

    curve = curve_of(fall)
    steepest, valley = curve.steepest(), curve.valley()
    assert steepest is not None and valley is not None
    assert -3 < math.log10(steepest) < -2
    assert -5 < math.log10(valley) < -2
    assert curve.loss_at(valley) > curve.loss_at(steepest) > min(curve.smoothed)


def test_the_valley_is_half_way_through_the_longest_falling_sequence() -> None:
    """Of 36 steps that count, 26 make it, from the tenth on, although the loss rises in between.

    The place ``35 - 26 + 8 + 4`` is the one that fastai's ``valley`` returns.
    """
    falling = [1.0 - 0.01 * n for n in range(26)]
    smoothed = [1.0] * 9 + falling[:10] + [3.0] + falling[10:] + [9.0] * 5
    rates = growing_rates(1e-4, 1, len(smoothed))
    curve = LossCurve(0, rates, [1.0] * len(smoothed), smoothed)
    assert curve.valley() == rates[35 - 26 + 8 + 4]
    assert curve.steepest() == rates[19]


@pytest.mark.parametrize("loss", [lambda power: 1.0, lambda power: 5 + power])
def test_a_loss_that_never_falls_suggests_nothing(loss: Callable[[float], float]) -> None:
    curve = curve_of(loss)
    assert curve.steepest() is curve.valley() is None


def test_an_early_end_suggests_nothing() -> None:
    curve = curve_of(lambda power: 1.0 if power < -6 else math.nan)
    assert curve.diverged
    assert curve.steepest() is curve.valley() is None


def test_divergence() -> None:
    """The smoothed loss reaches four times its lowest value, or a loss is not finite."""
    curve = curve_of(lambda power: 1.0 if power < -1 else 60.0)
    assert curve.diverged
    assert curve.smoothed[-2] <= 4 < curve.smoothed[-1]
    curve = curve_of(lambda power: 1.0 if power < 0 else math.inf)
    assert curve.diverged
    assert curve.losses == [1.0] * len(curve.rates)
    assert curve.rates[-1] < 1
    assert not curve_of(lambda power: 1.0).diverged
