"""Initial values: the documented distributions, and the same bytes for ever."""

from __future__ import annotations

import math
from statistics import NormalDist
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isotune.errors import WeightsError
from isotune.models.initial import initial_state, linear_values
from isotune.models.normal import quantile

SHAPES = {
    "conv.weight": (16, 1, 3, 3),
    "bn.weight": (16,),
    "bn.bias": (16,),
    "bn.running_mean": (16,),
    "bn.running_var": (16,),
    "biased.weight": (8, 16, 5, 5),
    "biased.bias": (8,),
    "fc.weight": (300, 100),
    "fc.bias": (300,),
}


def test_the_promised_bytes() -> None:
    """A change of these numbers changes every experiment that was ever run."""
    state = initial_state(SHAPES, seed=7)
    head = linear_values(7, "head", 20, 3)
    values = [*state.values(), head.weight, head.bias]
    assert all(value.dtype == np.float32 for value in values)
    assert crc32(b"".join(value.astype("<f4").tobytes() for value in values)) == 2363161157


def test_distributions() -> None:
    state = initial_state(SHAPES, seed=3)
    for name, value in {"bn.weight": 1, "bn.bias": 0, "bn.running_mean": 0}.items():
        assert (state[name] == value).all()
    assert (state["bn.running_var"] == 1).all()
    for layer, fan_in in {"biased": 16 * 25, "fc": 100}.items():
        for parameter in ("weight", "bias"):
            values = state[f"{layer}.{parameter}"]
            assert np.abs(values).max() <= np.float32(1 / math.sqrt(fan_in))
            assert np.abs(values).max() > 0.7 / math.sqrt(fan_in)
        assert abs(state[f"{layer}.weight"].mean()) < 0.05 / math.sqrt(fan_in)
    head = linear_values(3, "head", 100, 300)
    assert (head.weight.shape, head.bias.shape) == ((300, 100), (300,))
    assert 0.099 < np.abs(head.weight).max() <= np.float32(0.1)
    assert 0.09 < np.abs(head.bias).max() <= np.float32(0.1)


def test_he_normal_by_fan_out() -> None:
    values = initial_state({"a.weight": (64, 4, 3, 3)}, 0)["a.weight"]
    assert values.std() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)
    assert np.abs(values).max() > 3 * values.std()


def test_vgg_as_torchvision_initializes_it() -> None:
    state = initial_state({**SHAPES, "deep.weight": (64, 4, 3, 3), "deep.bias": (64,)}, 3, "vgg")
    assert (state["bn.weight"] == 1).all() and (state["bn.running_var"] == 1).all()
    for layer in ("biased", "deep", "fc", "bn"):
        assert not state[f"{layer}.bias"].any()
    assert state["deep.weight"].std() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.05)
    assert state["fc.weight"].std() == pytest.approx(0.01, rel=0.05)
    for name in ("deep.weight", "fc.weight"):
        assert np.abs(state[name]).max() > 3 * state[name].std()  # normal, not uniform


def test_each_tensor_depends_on_its_name_and_the_seed_alone() -> None:
    whole = initial_state(SHAPES, 5)
    reversed_ = initial_state(dict(reversed(SHAPES.items())), 5)
    for name, value in whole.items():
        np.testing.assert_array_equal(reversed_[name], value)
    twins = initial_state({"a.weight": (2, 9, 1), "b.weight": (2, 9, 1)}, 5)
    assert (twins["a.weight"] != twins["b.weight"]).all()
    assert (linear_values(5, "head", 9, 2).weight != linear_values(6, "head", 9, 2).weight).all()


def test_unknown_tensors_are_told() -> None:
    with pytest.raises(WeightsError, match=r"'cls_token' of shape \(1, 1, 8\)"):
        initial_state({"cls_token": (1, 1, 8)}, 0)


@given(st.integers(0, 2**52 - 1))
def test_quantiles_are_those_of_the_normal_distribution(word: int) -> None:
    p = (word + 0.5) * 2.0**-52
    expected = NormalDist().inv_cdf(p)
    assert quantile(np.array([p]))[0] == pytest.approx(expected, rel=1e-14, abs=1e-16)
    assert quantile(np.array([p / 2**20]))[0] == pytest.approx(
        NormalDist().inv_cdf(p / 2**20), rel=1e-14
    )


def test_transformers() -> None:
    shapes = {
        "class_token": (1, 1, 8),
        "conv.weight": (64, 3, 4, 4),
        "conv.bias": (64,),
        "norm.weight": (64,),
        "norm.bias": (64,),
        "attn.in_proj_weight": (192, 64),
        "attn.in_proj_bias": (192,),
        "attn.relative_position_bias_table": (169, 30),
        "attn.logit_scale": (4, 1, 1),
        "pos_embedding": (1, 50, 64),
        "layer_scale": (64, 1, 1),
    }
    state = initial_state(shapes, 3, "transformer")
    for name in ("class_token", "conv.bias", "norm.bias", "attn.in_proj_bias"):
        assert not state[name].any()
    assert (state["norm.weight"] == 1).all() and (state["layer_scale"] == np.float32(1e-6)).all()
    assert (state["attn.logit_scale"] == np.float32(math.log(10))).all()
    for name in ("conv.weight", "attn.in_proj_weight", "attn.relative_position_bias_table"):
        assert state[name].std() == pytest.approx(0.02, rel=0.05)
