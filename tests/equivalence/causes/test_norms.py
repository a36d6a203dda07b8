from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from made_evidence import of_layer

Array = NDArray[Any]

RNG = np.random.default_rng(0)
X = np.float32(RNG.normal(size=(4, 12, 5, 5)) * np.geomspace(0.02, 3, 12)[:, None, None] + 0.3)
STATE = {
    "layer.weight": np.float32(RNG.normal(1, 0.3, 12)),
    "layer.bias": np.float32(RNG.normal(0, 0.3, 12)),
    "layer.running_mean": np.float32(RNG.normal(0, 0.3, 12)),
    "layer.running_var": np.float32(RNG.uniform(0.5, 2, 12)),
}
TOKENS = np.float32(RNG.normal(size=(4, 9, 12)) * np.geomspace(0.01, 3, 9)[:, None] + 0.3)


def batch_norm(eps: float = 1e-5, ddof: int = 0, running: bool = False, shift: float = 0) -> Array:
    x = X.astype(np.float64)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=ddof)
    if running:
        mean, variance = STATE["layer.running_mean"], STATE["layer.running_var"]
    scale, offset = STATE["layer.weight"], STATE["layer.bias"]
    normal = (x - mean[:, None, None] - shift) / np.sqrt(variance + eps)[:, None, None]
    found: Array = normal * scale[:, None, None] + offset[:, None, None]
    return found


def layer_norm(eps: float = 1e-6, ddof: int = 0) -> Array:
    x = TOKENS.astype(np.float64)
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True, ddof=ddof) + eps)
    found: Array = normal * STATE["layer.weight"] + STATE["layer.bias"]
    return found


def cause(kind: str, one: Array, other: Array) -> str | None:
    x = X if kind == "BatchNorm2d" else TOKENS
    return of_layer(kind, one, other, inputs=[x], state=STATE, settings={"eps": 1e-5})


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        ({}, {"eps": 1e-3}, "It fits eps 1e-05 in torch on cpu and 0.001 in mindspore on cpu."),
        ({"eps": 1e-3}, {}, "It fits eps 0.001 in torch on cpu and 1e-05 in mindspore on cpu."),
        ({}, {"eps": 0}, "It fits eps 1e-05 in torch on cpu and 0 in mindspore on cpu."),
        (
            {},
            {"ddof": 1},
            "mindspore on cpu fits division by the unbiased variance, over n - 1 of 100 elements,"
            " torch on cpu by the biased one.",
        ),
        (
            {},
            {"running": True},
            "mindspore on cpu fits BatchNorm with its running statistics, torch on cpu with those"
            " of the batch.",
        ),
    ],
)
def test_batch_norm(one: dict[str, Any], other: dict[str, Any], sentence: str):
    assert cause("BatchNorm2d", batch_norm(**one), batch_norm(**other)) == sentence


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"eps": 1e-5}, "It fits eps 1e-06 in torch on cpu and 1e-05 in mindspore on cpu."),
        (
            {"ddof": 1},
            "mindspore on cpu fits division by the unbiased variance, over n - 1 of 12 elements,"
            " torch on cpu by the biased one.",
        ),
    ],
)
def test_layer_norm(other: dict[str, Any], sentence: str):
    assert cause("LayerNorm", layer_norm(), layer_norm(**other)) == sentence


def test_layer_norm_over_channels_of_maps():
    def moved(array: Array) -> Array:
        return np.moveaxis(array[:, :, None], -1, 1)

    found = of_layer(
        "LayerNorm2d",
        moved(layer_norm()),
        moved(layer_norm(1e-4)),
        inputs=[moved(TOKENS)],
        state=STATE,
    )
    assert found == "It fits eps 1e-06 in torch on cpu and 0.0001 in mindspore on cpu."


def test_near_misses():
    plain = batch_norm()
    assert cause("BatchNorm2d", plain, plain) is None
    shifted = cause("BatchNorm2d", plain, batch_norm(shift=0.1))
    assert shifted is not None and shifted.startswith("It differs by one number for each channel")
    bent = plain + 0.01 * np.sin(3 * X)
    assert cause("BatchNorm2d", plain, bent) is None
    noisy = batch_norm(1e-3) * (1 + 1e-3 * RNG.normal(size=X.shape))
    assert cause("BatchNorm2d", plain, noisy) is None
