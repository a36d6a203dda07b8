"""Settings, and relations of numbers that say something whatever the layer is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import rounded
from isotune.equivalence.certificates.certificate import Place
from isotune.interfaces.tracer import Layer
from made_evidence import of_layer, of_step, of_traces
from made_traces import made_side, made_trace

Array = NDArray[Any]

RNG = np.random.default_rng(0)
OUTPUT = RNG.normal(size=(8, 50, 4))


def cause(other: Array, **changes: Any) -> str | None:
    return of_layer("Linear", OUTPUT, other, **changes)


def test_settings_that_differ_are_named():
    one = {"eps": 1e-5, "momentum": 0.1, "affine": True, "only": 1}
    other = {"eps": 1e-3, "momentum": 0.9, "affine": True}
    assert cause(OUTPUT + 1, settings=one, settings_of_other=other) == (
        "The layer's settings differ: eps is 1e-05 in torch on cpu and 0.001 in mindspore on cpu;"
        " momentum is 0.1 in torch on cpu and 0.9 in mindspore on cpu (the share of the new"
        " statistics in one, of the old ones in the other)."
    )
    squared = OUTPUT + OUTPUT**2
    rounded_to_float32 = {**one, "more": 1, "momentum": float(np.float32(0.1))}
    assert cause(squared, settings=one, settings_of_other=rounded_to_float32) is None


def test_settings_of_other_kinds_of_layers_say_nothing():
    one = Layer("conv", "Conv2d", {"padding": (1, 1), "p": 0.1})
    assert one.differing(Layer("conv", "Conv2d", {"padding": "same", "p": 0.1 + 1e-9})) == [
        "padding"
    ]
    assert one.differing(Layer("conv", "SamePaddingConv2d", {"padding": (0, 0)})) == []


def test_relations():
    assert cause(0.5 * OUTPUT) == (
        "All of it in mindspore on cpu is 0.5 times what it is in torch on cpu."
    )
    assert cause(0.999 * OUTPUT) == (
        "All of it in mindspore on cpu is 0.999 times what it is in torch on cpu."
    )
    assert cause(0 * OUTPUT) == "It is zero in mindspore on cpu alone."
    short = rounded(OUTPUT.astype(np.float32), 7)
    assert of_step("forward", "fc", ({"forward/fc": OUTPUT}, {"forward/fc": short})) == (
        "All numbers of mindspore on cpu fit bfloat16, those of the other side do not."
    )
    broken = OUTPUT.copy()
    broken[:, 3:] = np.inf
    assert cause(broken) == "It holds NaN or infinity in mindspore on cpu alone."


def test_the_same_numbers_in_another_order():
    sentence = "Both sides have the same numbers in another order, such as transposed or flipped."
    assert cause(OUTPUT[:, ::-1]) == sentence
    assert cause(OUTPUT[:4, :20, 0], inputs=[]) is None
    small = OUTPUT[0]
    assert of_layer("Linear", small, small[::-1]) == sentence


def test_a_bias():
    bias = RNG.normal(size=4)
    assert cause(OUTPUT + bias) == (
        "It differs by one number for each channel: it fits a bias that differs or is left out."
    )
    known = {"state/layer.bias": bias + 0.1, "update/layer.bias": np.full(4, 0.1)}
    assert cause(OUTPUT - bias, values=[known, known]) == (
        "mindspore on cpu fits a layer whose bias is left out."
    )
    assert cause(OUTPUT + bias, values=[known, known]) == (
        "torch on cpu fits a layer whose bias is left out."
    )


def test_near_misses():
    assert cause(OUTPUT) is None
    assert cause(0.5 * OUTPUT + 0.01 * RNG.normal(size=OUTPUT.shape)) is None
    assert cause(RNG.normal(size=OUTPUT.shape)) is None
    assert cause(OUTPUT + OUTPUT**2) is None
    assert cause(OUTPUT + np.arange(4) + 0.01 * RNG.normal(size=OUTPUT.shape)) is None


def test_other_precisions_are_the_last_thing_to_say():
    sides = made_side("torch", precision="bf16"), made_side("torch")
    one, other = (made_trace(side=side) for side in sides)
    assert of_traces(Place("forward", "fc", 0), one, other) == (
        "torch on cpu (bf16) computes in bf16, torch on cpu (fp32) in fp32."
    )
    assert of_traces(Place("start", "fc.weight", None), one, other) is None
