"""Layers and their gradients in float64, by their textbook formulas.

A layer is given a :class:`Pass` and keeps what its gradient needs from its last forward call.
Parameters are found in the pass by canonical name, in PyTorch's layouts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from isotune.interfaces.freezing import FreezePlan
from isotune.training.dropout import keep_mask, layer_seed

Array = NDArray[np.float64]


@dataclass
class Pass:
    """One pass through a net.

    Attributes:
        state: parameters and BatchNorm statistics; the latter are replaced during training.
        training: whether layers are in training mode.
        freeze: decides the mode of frozen BatchNorm layers.
        seed, step: decide dropout.
        gradients: filled by the backward pass.
    """

    state: dict[str, Array]
    training: bool = False
    freeze: FreezePlan = field(default_factory=FreezePlan)
    seed: int = 0
    step: int = 0
    gradients: dict[str, Array] = field(default_factory=dict)


class Layer:
    def forward(self, x: Array, at: Pass) -> Array:
        raise AssertionError

    def backward(self, gradient: Array, at: Pass) -> Array:
        """Returns the gradient of the input, given that of the output."""
        raise AssertionError


class Flatten(Layer):
    def forward(self, x: Array, at: Pass) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient: Array, at: Pass) -> Array:
        return gradient.reshape(self.shape)


@dataclass
class Linear(Layer):
    name: str

    def forward(self, x: Array, at: Pass) -> Array:
        self.x = x
        return x @ at.state[f"{self.name}.weight"].T + at.state[f"{self.name}.bias"]

    def backward(self, gradient: Array, at: Pass) -> Array:
        at.gradients[f"{self.name}.weight"] = gradient.T @ self.x
        at.gradients[f"{self.name}.bias"] = gradient.sum(0)
        return gradient @ at.state[f"{self.name}.weight"]


class ReLU(Layer):
    def forward(self, x: Array, at: Pass) -> Array:
        self.positive = x > 0
        return x * self.positive

    def backward(self, gradient: Array, at: Pass) -> Array:
        return gradient * self.positive


@dataclass
class Activation(Layer):
    """A function of each element, with its derivative."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]

    def forward(self, x: Array, at: Pass) -> Array:
        self.x = x
        return self.function(x)

    def backward(self, gradient: Array, at: Pass) -> Array:
        return gradient * self.derivative(self.x)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _normal_cdf(x: Array) -> Array:
    return np.vectorize(lambda value: (1 + math.erf(value / math.sqrt(2))) / 2)(x)


ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": ReLU,
    "gelu": lambda: Activation(
        lambda x: x * _normal_cdf(x),
        lambda x: _normal_cdf(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "silu": lambda: Activation(
        lambda x: x * _sigmoid(x), lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x)))
    ),
    "tanh": lambda: Activation(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
}
"""Activations by the names that PyTorch documents their formulas under."""


@dataclass
class Dropout(Layer):
    """The dropout layer at `path`, with :func:`isotune.training.dropout.keep_mask`."""

    path: str
    p: float

    def forward(self, x: Array, at: Pass) -> Array:
        self.scale = np.ones_like(x)
        if at.training:
            word = layer_seed(at.seed, at.step, self.path)
            self.scale = keep_mask(word, x.shape, self.p) / (1 - self.p)
        return x * self.scale

    def backward(self, gradient: Array, at: Pass) -> Array:
        return gradient * self.scale


class GlobalAveragePool(Layer):
    def forward(self, x: Array, at: Pass) -> Array:
        self.shape = x.shape
        return x.mean((2, 3))

    def backward(self, gradient: Array, at: Pass) -> Array:
        area = self.shape[2] * self.shape[3]
        return np.broadcast_to(gradient[:, :, None, None] / area, self.shape)


class MaxPool(Layer):
    """2 x 2 with stride 2, forward only."""

    def forward(self, x: Array, at: Pass) -> Array:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


@dataclass
class Conv(Layer):
    """A convolution; `padding` is before and after both axes. As a net's first layer only."""

    name: str
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    depthwise: bool = False

    def forward(self, x: Array, at: Pass) -> Array:
        weight = at.state[f"{self.name}.weight"]
        padded = np.pad(x, ((0, 0), (0, 0), self.padding, self.padding))
        windows = sliding_window_view(padded, weight.shape[2:], (2, 3))
        self.windows = windows[:, :, :: self.stride, :: self.stride]
        if self.depthwise:
            return np.einsum("nchwij,cij->nchw", self.windows, weight[:, 0])
        y = np.tensordot(self.windows, weight, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        bias = at.state.get(f"{self.name}.bias")
        return y if bias is None else y + bias[:, None, None]

    def backward(self, gradient: Array, at: Pass) -> Array:
        weight = np.tensordot(gradient, self.windows, ((0, 2, 3), (0, 2, 3)))
        at.gradients[f"{self.name}.weight"] = weight
        return np.empty(0)


@dataclass
class BatchNorm(Layer):
    """PyTorch's ``BatchNorm2d``: the batch's biased variance normalizes, the unbiased is kept."""

    name: str
    eps: float = 1e-5
    momentum: float = 0.1

    def forward(self, x: Array, at: Pass) -> Array:
        frozen = {f"{self.name}.weight", f"{self.name}.bias"} <= at.freeze.frozen
        self.live = at.training and not (frozen and at.freeze.batch_norm == "eval")
        if self.live:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
            self._keep(mean, x.var((0, 2, 3), ddof=1), at)
        else:
            mean = at.state[f"{self.name}.running_mean"]
            variance = at.state[f"{self.name}.running_var"]
        self.root = np.sqrt(variance + self.eps)[:, None, None]
        self.normal = (x - mean[:, None, None]) / self.root
        weight, bias = (at.state[f"{self.name}.{kind}"] for kind in ("weight", "bias"))
        return self.normal * weight[:, None, None] + bias[:, None, None]

    def _keep(self, mean: Array, variance: Array, at: Pass) -> None:
        for kind, new in (("running_mean", mean), ("running_var", variance)):
            old = at.state[f"{self.name}.{kind}"]
            at.state[f"{self.name}.{kind}"] = (1 - self.momentum) * old + self.momentum * new

    def backward(self, gradient: Array, at: Pass) -> Array:
        axes = (0, 2, 3)
        at.gradients[f"{self.name}.weight"] = (gradient * self.normal).sum(axes)
        at.gradients[f"{self.name}.bias"] = gradient.sum(axes)
        inner = gradient * at.state[f"{self.name}.weight"][:, None, None]
        if self.live:
            along = (inner * self.normal).mean(axes, keepdims=True)
            inner = inner - inner.mean(axes, keepdims=True) - self.normal * along
        return inner / self.root


def forward(layers: Sequence[Layer], x: Array, at: Pass) -> Array:
    """Applies `layers` one after the other."""
    for layer in layers:
        x = layer.forward(x, at)
    return x


def backward(layers: Sequence[Layer], gradient: Array, at: Pass) -> None:
    """Fills ``at.gradients`` from the gradient of the last output."""
    for layer in reversed(layers):
        gradient = layer.backward(gradient, at)
