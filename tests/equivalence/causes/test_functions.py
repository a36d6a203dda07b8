"""Activations, dropout, blocks: what a layer does to each element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.equivalence.causes.activations import FUNCTIONS
from isotune.training.dropout import keep_mask
from made_evidence import of_layer

Array = NDArray[Any]

RNG = np.random.default_rng(0)
X = RNG.normal(0, 3, size=(8, 64, 3)).astype(np.float32).astype(np.float64)
BRANCH = RNG.normal(size=X.shape)


def normal_cdf(x: Array) -> Array:
    return np.vectorize(lambda value: (1 + math.erf(value / math.sqrt(2))) / 2)(x)


GELU = X * normal_cdf(X)
GELU_TANH = 0.5 * X * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)))
SILU = X / (1 + np.exp(-X))


@pytest.mark.parametrize("inputs", [[X], []])
@pytest.mark.parametrize(
    ("kind", "one", "other", "names"),
    [
        ("GELU", GELU, GELU_TANH, ("GELU", "GELU approximated with tanh")),
        ("GELU", GELU_TANH, GELU, ("GELU approximated with tanh", "GELU")),
        ("SiLU", SILU, GELU, ("SiLU", "GELU")),
        ("ReLU", np.maximum(X, 0), X, ("ReLU", "no activation")),
        ("ReLU6", X, np.clip(X, 0, 6), ("no activation", "ReLU6")),
    ],
)
def test_activations(kind: str, one: Array, other: Array, names: Any, inputs: list[Array]):
    found = of_layer(kind, one, other, inputs=inputs)
    assert found == f"It fits {names[0]} in torch on cpu and {names[1]} in mindspore on cpu."


@pytest.mark.parametrize("inputs", [[X], []])
def test_an_unknown_activation_is_not_named(inputs: list[Array]):
    assert of_layer("GELU", GELU, GELU, inputs=inputs) is None
    assert of_layer("GELU", GELU, GELU + 1e-3 * np.sin(9 * X), inputs=inputs) is None
    softplus = np.logaddexp(0, X)
    assert of_layer("ReLU", np.maximum(X, 0), softplus, inputs=inputs) is None


def test_functions_are_torch_functions():
    torch = pytest.importorskip("torch")
    classes = {
        "ReLU": torch.nn.ReLU(),
        "ReLU6": torch.nn.ReLU6(),
        "leaky ReLU": torch.nn.LeakyReLU(),
        "GELU": torch.nn.GELU(),
        "GELU approximated with tanh": torch.nn.GELU(approximate="tanh"),
        "SiLU": torch.nn.SiLU(),
        "Hardswish": torch.nn.Hardswish(),
        "sigmoid": torch.nn.Sigmoid(),
        "Hardsigmoid": torch.nn.Hardsigmoid(),
        "tanh": torch.nn.Tanh(),
        "Mish": torch.nn.Mish(),
    }
    assert set(FUNCTIONS) - set(classes) == {"no activation", "GELU approximated with a sigmoid"}
    for name, module in classes.items():
        expected = module(torch.from_numpy(X)).numpy()
        np.testing.assert_allclose(FUNCTIONS[name](X), expected, rtol=1e-9, atol=1e-12)


def dropped(seed: int, p: float = 0.3) -> Array:
    return X * keep_mask(seed, X.shape, p) / (1 - p)


@pytest.mark.parametrize("inputs", [[X], []])
def test_dropout(inputs: list[Array]):
    def cause(one: Array, other: Array) -> str | None:
        return of_layer("Dropout", one, other, inputs=inputs, settings={"p": 0.3})

    dead = cause(dropped(1), X)
    assert dead is not None
    assert dead.startswith("mindspore on cpu drops nothing, while torch on cpu drops ")
    other = cause(dropped(1), dropped(2))
    assert other is not None and "fits dropout with another seed" in other
    rarely = cause(dropped(1), dropped(1, 0.1))
    assert rarely is not None and rarely.startswith("torch on cpu drops ")
    assert rarely.endswith("it fits dropout with another probability, or none in mindspore on cpu.")
    assert cause(dropped(1), dropped(1) * 0.7) == (
        "mindspore on cpu does not multiply what it keeps by 1 / (1 - 0.3)."
    )
    assert cause(dropped(1), dropped(2) * (1 + 0.1 * BRANCH)) is None


def block(**changes: Any) -> str | None:
    one, other = changes.pop("one"), changes.pop("other")
    whole = {"forward/layer.bn": BRANCH}
    return of_layer("Block", one, other, inputs=[X], whole=whole, leaf=False, **changes)


def test_residuals():
    total = BRANCH + X
    assert block(one=total, other=BRANCH + 0.5 * X) == (
        "mindspore on cpu adds 0.5 times the block's input less than torch on cpu."
    )
    assert block(one=total, other=0.9 * BRANCH + X) == (
        "mindspore on cpu adds 0.1 times the block's part 'layer.bn' less than torch on cpu."
    )
    assert block(one=total, other=BRANCH) == (
        "mindspore on cpu fits a block whose input is not added, unlike in torch on cpu."
    )
    assert block(one=BRANCH, other=total) == (
        "torch on cpu fits a block whose input is not added, unlike in mindspore on cpu."
    )
    relu = np.maximum(total, 0), np.maximum(BRANCH + 0.5 * X, 0)
    assert block(one=relu[0], other=relu[1]) == (
        "mindspore on cpu adds 0.5 times the block's input less than torch on cpu."
    )
    assert block(one=np.maximum(total, 0), other=total) == (
        "It fits ReLU in torch on cpu and no activation in mindspore on cpu."
    )
    assert block(one=total, other=BRANCH + 0.5 * X + 0.01 * np.sin(X)) is None
