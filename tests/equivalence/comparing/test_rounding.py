from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.equivalence.comparing.rounding import FACTOR, FULL, Rounding, Roundings
from isotune.equivalence.traces.sampling import values_of
from isotune.equivalence.traces.trace import TracedStep
from isotune.interfaces.tracer import Layer
from made_traces import made_step

RATE = 1e-3
Array = NDArray[np.float32]
WEIGHT, SLOPE, NOISE = np.random.default_rng(5).standard_normal((3, 64, 256), np.float32)
GRADIENT: Array = np.float32(1e-2) * SLOPE


def step(arrays: Mapping[str, Array], yardstick: float = 1e-7) -> TracedStep:
    values = {name: values_of(name, np.asarray(array)) for name, array in arrays.items()}
    return made_step(values=values, yardsticks={"1 ulp": dict.fromkeys(values, yardstick)})


def found(one: TracedStep, other: TracedStep, name: str) -> Rounding:
    return next(each for each in Roundings(one, other).all if each.key == name)


def agrees(one: TracedStep, other: TracedStep, name: str) -> bool:
    each = found(one, other, name)
    return each.difference <= each.allowed


def sgd(gradient: Array, decay: float = 0.0) -> Array:
    return WEIGHT - np.float32(RATE) * (gradient + np.float32(decay) * WEIGHT)


def adam(gradient: Array, decay: float = 0.0) -> Array:
    sign = gradient / (abs(gradient) + np.float32(1e-8))
    return WEIGHT - np.float32(RATE) * (sign + np.float32(decay) * WEIGHT)


def updated(gradient: Array, after: Array) -> TracedStep:
    return step({"gradient/w": gradient, "update/w": after - WEIGHT, "state/w": after})


@pytest.mark.parametrize("rule", [sgd, adam])
@pytest.mark.parametrize("chaos", [0.0, 1e-6, 1e-2])
def test_an_update_may_differ_as_its_gradient_does(rule, chaos: float):
    moved = np.asarray(GRADIENT * (1 + chaos * NOISE), np.float32)
    one = updated(GRADIENT, rule(GRADIENT, 1e-2))
    assert agrees(one, updated(moved, rule(moved, 1e-2)), "update/w")
    assert not agrees(one, updated(moved, rule(moved)), "update/w") or chaos == 1e-2
    assert not agrees(one, updated(moved, rule(1.1 * moved, 3e-2)), "update/w")


def test_what_no_one_has_watched_may_have_flipped():
    """A compiled step has gradients of its own, unless its logits are those that were watched."""
    moved = np.asarray(GRADIENT * (1 + 1e-3 * NOISE), np.float32)
    one, other = updated(GRADIENT, sgd(GRADIENT)), updated(GRADIENT, sgd(moved))
    assert not agrees(one, other, "update/w")
    chaos = {"1 ulp": dict.fromkeys(one.values, 1e-3)}
    for same in (True, False):
        compiled = replace(other, watched=False, same_logits=same, yardsticks=chaos)
        assert agrees(one, compiled, "update/w") is not same
    wrong = replace(updated(GRADIENT, sgd(1.1 * moved)), watched=False, yardsticks=chaos)
    assert not agrees(one, wrong, "update/w")


def test_a_parameter_differs_by_its_update():
    few = np.zeros_like(WEIGHT)
    moved = np.asarray(GRADIENT * (1 + 1e-2 * NOISE), np.float32)
    sides = [
        step({"update/w": few - each, "state/w": few - each, "gradient/w": each})
        for each in (GRADIENT, moved)
    ]
    assert agrees(*sides, "update/w") and agrees(*sides, "state/w")
    other = sides[1].values["state/w"]
    halved = replace(other, samples=other.samples / 2, norm=other.norm / 2)
    wrong = replace(sides[1], values={**sides[1].values, "state/w": halved})
    assert not agrees(sides[0], wrong, "state/w")


def test_the_sign_of_a_gradient_that_is_only_rounding_is_no_difference():
    few = np.asarray(GRADIENT * np.where(abs(NOISE) > 0.1, 1, 1e-4), np.float32)
    noise = np.asarray(few + 1e-6 * NOISE[::-1], np.float32)
    one, other = updated(few, adam(few)), updated(noise, adam(noise))
    raw = abs(one.values["update/w"].samples - other.values["update/w"].samples)
    assert raw.max() > RATE
    assert agrees(one, other, "update/w")


def test_a_parameter_rounds_its_update():
    tiny = np.asarray(1e-3 * GRADIENT, np.float32)
    turned = np.asarray(tiny * (1 + 1e-6 * NOISE), np.float32)
    one, other = updated(tiny, sgd(tiny)), updated(turned, sgd(turned))
    assert agrees(one, other, "update/w")
    assert not agrees(one, updated(turned, sgd(np.zeros_like(turned))), "update/w")


def backward(flipped: int, noise: float = 3e-7) -> tuple[TracedStep, TracedStep]:
    """Returns the steps of two sides, of which one has the gradients of some elements flipped."""
    output, gradient = np.random.default_rng(6).standard_normal((2, 8, 32, 8, 8), np.float32)
    before = np.asarray(gradient + 0.0, np.float32)
    before.reshape(-1)[:flipped] *= 2
    other = np.asarray(output * (1 + noise), np.float32)
    arrays = {"forward/relu": output, "backward/relu": gradient, "backward/conv": gradient}
    return step(arrays), step({**arrays, "forward/relu": other, "backward/conv": before})


def test_a_gradient_may_have_an_element_flipped_at_a_kink():
    assert agrees(*backward(1), "backward/conv")
    assert not agrees(*backward(2000), "backward/conv")


def test_an_element_may_flip_within_a_container_that_runs_alone_and_not_in_a_layer():
    one, other = backward(1)
    arrays = {"forward/block.relu": "forward/relu", "backward/block.relu": "backward/relu"}
    steps = [
        made_step(values={new: each.values[old] for new, old in arrays.items()})
        for each in (one, other)
    ]
    found = Roundings(*steps, FULL, [Layer("block", "Block", leaf=False)])
    assert found.locally_allowed("backward/block", 1e-7) > 1e-3
    assert found.locally_allowed("gradient/block.scale", 1e-7) > 1e-3
    for name in ("forward/block", "backward/block.relu", "gradient/block.conv.weight"):
        assert found.locally_allowed(name, 1e-7) < 1e-5


def test_nothing_flips_where_activations_are_smooth():
    steps, norm = backward(1), Layer("norm", "LayerNorm")
    for kinds, flips in (("GELU",), False), (("GELU", "MaxPool2d"), True), ((), True):
        layers = [norm, *(Layer(kind, kind) for kind in kinds)]
        found = {each.key: each for each in Roundings(*steps, FULL, layers).all}
        assert (found["backward/conv"].allowed > 1e-3) is flips


def test_a_gradient_of_another_size_has_not_flipped():
    one, other = backward(1)
    values = one.values["backward/conv"]
    half = replace(values, norm=values.norm / 2, samples=values.samples / 2)
    chaos = {"1 ulp": dict.fromkeys(one.values, 0.1)}
    steps = [
        made_step(values=each, yardsticks=chaos)
        for each in (one.values, {**other.values, "backward/conv": half})
    ]
    assert found(*steps, "backward/conv").difference == pytest.approx(0.5)
    assert not agrees(*steps, "backward/conv")


def test_nothing_flips_in_a_small_layer_that_is_the_same():
    one, other = backward(1, noise=0.0)
    same = {"1 ulp": dict.fromkeys(one.values, 0.0)}
    exact = [made_step(values=each.values, yardsticks=same) for each in (one, other)]
    assert found(*exact, "backward/conv").allowed < 1e-5


def test_a_gradient_that_is_only_rounding_has_a_large_yardstick():
    names = {"gradient/conv.bias": NOISE[0]}
    other = {"gradient/conv.bias": NOISE[1]}
    assert agrees(step(names, 1.3), step(other, 1e-7), "gradient/conv.bias")
    assert not agrees(step(names), step(other), "gradient/conv.bias")


def test_the_yardstick_of_a_single_number_is_that_of_what_it_is_made_of():
    one = {"loss/logits": NOISE, "loss/loss": np.float32(1)}
    other = {"loss/logits": NOISE, "loss/loss": np.float32(1 + 5e-6)}
    lucky = {"1 ulp": {"loss/logits": 1e-6, "loss/loss": 0.0}}
    steps = [made_step(values=step(each).values, yardsticks=lucky) for each in (one, other)]
    assert found(*steps, "loss/loss").allowed == pytest.approx(FACTOR * 1e-6)
    assert agrees(*steps, "loss/loss")


def test_a_loss_near_zero_differs_as_the_logits_round():
    one = {"loss/logits": 10 * NOISE, "loss/loss": np.float32(1e-5)}
    other = {"loss/logits": 10 * NOISE, "loss/loss": np.float32(1.1e-5)}
    assert agrees(step(one), step(other), "loss/loss")


@pytest.mark.parametrize("size", [1e-40, 0.0])
def test_numbers_below_the_smallest_normal_one_are_zero(size: float):
    one, other = np.full(9, size, np.float32), np.full(9, 2 * size, np.float32)
    assert agrees(step({"backward/a": one}), step({"backward/a": other}), "backward/a")


def test_a_difference_that_no_sample_has_shows_in_the_whole():
    array = np.random.default_rng(7).standard_normal((8, 512, 16), np.float32)
    spoiled = array.copy()
    spoiled[:, 7] = 0
    names = "forward/layer"
    one, other = values_of(names, array), values_of(names, spoiled)
    hidden = (
        made_step(values={names: one}),
        made_step(
            values={
                names: type(other)(one.shape, other.norm, other.mean, other.largest, one.samples)
            }
        ),
    )
    assert not agrees(*hidden, names)
