from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.equivalence.causes.arithmetic import rounded
from isotune.testing.reference.layers import Conv, Pass
from made_evidence import of_layer

Array = NDArray[Any]

RNG = np.random.default_rng(0)
X = np.float32(RNG.normal(size=(3, 8, 9, 9)))
WEIGHT = np.float32(RNG.normal(size=(8, 8, 3, 3)))
OTHER = np.float32(RNG.normal(size=(8, 8, 3, 3)))
BIAS = np.float32(RNG.normal(size=8))
SETTINGS = {"kernel_size": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
MATRIX = np.float32(RNG.normal(size=(8, 8)))
TOKENS = np.float32(RNG.normal(size=(3, 20, 8)))


def conv(
    weight: Array = WEIGHT,
    bias: Array = BIAS,
    x: Array = X,
    padding: tuple[int, int] = (1, 1),
    stride: int = 1,
    depthwise: bool = False,
) -> Array:
    state = {"c.weight": weight.astype(np.float64), "c.bias": bias.astype(np.float64)}
    return Conv("c", stride, padding, depthwise).forward(x.astype(np.float64), Pass(state))


def cause(one: Array, other: Array, **changes: Any) -> str | None:
    state = {"layer.weight": WEIGHT, "layer.bias": BIAS, "twin.weight": OTHER}
    known = {"inputs": [X], "state": state, "settings": SETTINGS, **changes}
    return of_layer("Conv2d", one, other, **known)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight": WEIGHT.transpose(1, 0, 2, 3)}, "a kernel whose inputs and outputs are swapped"),
        ({"weight": WEIGHT.transpose(0, 1, 3, 2)}, "a kernel whose height and width are swapped"),
        ({"weight": WEIGHT[:, :, ::-1, ::-1]}, "a kernel that is flipped"),
        ({"weight": OTHER}, "the values of 'twin.weight'"),
        ({"bias": np.zeros(8)}, "a layer whose bias is left out"),
        ({"weight": rounded(WEIGHT, 10), "x": rounded(X, 10)}, "products of TF32 numbers"),
        ({"weight": rounded(WEIGHT, 7), "x": rounded(X, 7)}, "products of bfloat16 numbers"),
    ],
)
def test_convolutions(changes: dict[str, Array], sentence: str):
    assert cause(conv(), conv(**changes)) == f"mindspore on cpu fits {sentence}."
    assert cause(conv(**changes), conv()) == f"torch on cpu fits {sentence}."


def test_padding_on_another_side():
    one, other = conv(padding=(1, 1), stride=2), conv(padding=(0, 2), stride=2)
    assert cause(one, other, settings={**SETTINGS, "stride": (2, 2)}) == (
        "mindspore on cpu fits padding of 0 above and 0 to the left instead of 1 and 1."
    )


def test_depthwise():
    weight = WEIGHT[:, :1]

    def output(kernel: Array) -> Array:
        return conv(kernel, depthwise=True)

    found = cause(output(weight), output(weight[..., ::-1, ::-1]), state={"layer.weight": weight})
    assert found == "mindspore on cpu fits a kernel that is flipped."


def test_linear_layers():
    one = TOKENS @ MATRIX.astype(np.float64).T + BIAS
    state = {"layer.weight": MATRIX, "layer.bias": BIAS}
    known: dict[str, Any] = {"inputs": [TOKENS], "state": state}
    assert of_layer("Linear", one, one - BIAS, **known) == (
        "mindspore on cpu fits a layer whose bias is left out."
    )
    assert of_layer("Linear", one, TOKENS @ MATRIX.astype(np.float64) + BIAS, **known) == (
        "mindspore on cpu fits a kernel whose inputs and outputs are swapped."
    )


def test_near_misses():
    assert cause(conv(), conv()) is None
    wrong = RNG.normal(size=conv().shape)
    assert cause(conv(), wrong) is None
    assert cause(conv(), conv(WEIGHT[:, :, ::-1, ::-1]) * (1 + 1e-3 * wrong)) is None
    assert cause(conv(), conv(WEIGHT[:, :, ::-1])) is None


def test_padding_with_other_values_is_seen_at_the_border():
    repeated = np.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    found = cause(conv(), conv(x=repeated, padding=(0, 0)))
    assert found is not None and "of the border alone" in found
    samples = cause(conv(), conv(x=repeated, padding=(0, 0)), inputs=[])
    assert samples == found


def test_outputs_of_another_size():
    assert cause(conv(), conv(padding=(0, 0)), inputs=[]) == (
        "Its output is 9 x 9 in torch on cpu and 7 x 7 in mindspore on cpu: it fits another"
        " padding, stride or kernel."
    )


def averages(counts: bool) -> Array:
    x = np.pad(X.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    inside = np.pad(np.ones((1, 1, 9, 9)), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    sums, valid = (
        windows.sum((4, 5)),
        np.lib.stride_tricks.sliding_window_view(inside, (3, 3), (2, 3)).sum((4, 5)),
    )
    found: Array = sums / (9 if counts else valid)
    return found


@pytest.mark.parametrize("counting", [0, 1])
def test_averages_that_count_the_padding(counting: int):
    pools = [averages(counts=side == counting) for side in (0, 1)]
    kinds = ["mean", "mean"]
    kinds[counting] += " that counts the padding (count_include_pad)"
    assert of_layer("AvgPool2d", *pools, inputs=[X], settings=SETTINGS) == (
        f"It fits the {kinds[0]} in torch on cpu, and the {kinds[1]} in mindspore on cpu."
    )
    names = ["torch on cpu", "mindspore on cpu"]
    assert of_layer("AvgPool2d", *pools, settings=SETTINGS) == (
        f"{names[counting]} fits averages at the border that count the padding"
        f" (count_include_pad), {names[1 - counting]} those that do not."
    )


def largest(padding: float = -np.inf, moved: int = 0) -> Array:
    """Returns the largest numbers of windows of 3 x 3, two apart."""
    sides = (1 - moved, 1 + moved)
    x = np.pad(X.astype(np.float64), ((0, 0), (0, 0), sides, sides), constant_values=padding)
    found: Array = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3)).max((4, 5))
    return found[:, :, ::2, ::2]


def test_pooling():
    def pooled(one: Array, other: Array) -> str | None:
        settings = {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
        return of_layer("MaxPool2d", one, other, inputs=[X - 1], settings=settings)

    assert pooled(largest() - 1, largest() - 1) is None
    assert pooled(largest() - 1, averages(False)[:, :, ::2, ::2] - 1) == (
        "It fits the maximum in torch on cpu, and the mean in mindspore on cpu."
    )
    assert pooled(largest() - 1, largest(moved=1) - 1) == (
        "It fits the maximum in torch on cpu, and the maximum with windows that begin 1 rows below"
        " and 1 columns to the right in mindspore on cpu."
    )
    assert pooled(largest() - 1, np.minimum(largest(), 1) - 1) is None
    means = X.mean((2, 3), keepdims=True)
    assert of_layer("AdaptiveAvgPool2d", means, X.max((2, 3), keepdims=True), inputs=[X]) == (
        "It fits the mean in torch on cpu, and the maximum in mindspore on cpu."
    )


def test_channels_of_the_image_in_the_opposite_order():
    weight = WEIGHT[:, :3]
    one, other = conv(weight, x=X[:, :3]), conv(weight, x=X[:, 2::-1])
    found = cause(one, other, inputs=[X[:, :3]], state={"layer.weight": weight, "layer.bias": BIAS})
    assert found == "mindspore on cpu fits input channels in the opposite order."
