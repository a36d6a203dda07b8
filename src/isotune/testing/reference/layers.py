"""Layers and their gradients in float64, by their textbook formulas.

A layer is given a :class:`Pass` and keeps what its gradient needs from its last forward call.
Parameters are found in the pass by canonical name, in PyTorch's layouts.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter
from isotune.training.dropout import keep_mask, layer_seed

Array = NDArray[np.float64]


@dataclass
class Pass:
    """One pass through a net.

    Attributes:
        state: parameters and BatchNorm statistics; the latter are replaced during training.
        training: whether layers are in training mode.
        freeze: decides the mode of frozen BatchNorm layers.
        seed, step, shard: decide dropout.
        gradients: gradients by parameter, filled by the backward pass.
        auxiliary: logits of auxiliary classifiers by path, filled by the forward pass.
        auxiliary_gradients: gradients of those logits, for the backward pass; none while the
            auxiliary losses do not count.
    """

    state: dict[str, Array]
    training: bool = False
    freeze: FreezePlan = field(default_factory=FreezePlan)
    seed: int = 0
    step: int = 0
    shard: int = 0
    gradients: dict[str, Array] = field(default_factory=dict)
    auxiliary: dict[str, Array] = field(default_factory=dict)
    auxiliary_gradients: dict[str, Array] = field(default_factory=dict)


class Layer(ABC):
    """A layer, with the gradient of what it last computed."""

    @abstractmethod
    def forward(self, x: Array, at: Pass) -> Array:
        """Returns the output."""

    def backward(self, gradient: Array, at: Pass) -> Array:
        """Returns the gradient of the input, given that of the output."""
        raise NotImplementedError(f"{type(self).__name__} has no gradient")


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
        for name, value in (("weight", gradient.T @ self.x), ("bias", gradient.sum(0))):
            before = at.gradients.get(f"{self.name}.{name}", 0.0)  # of another use of the layer
            at.gradients[f"{self.name}.{name}"] = before + value
        return gradient @ at.state[f"{self.name}.weight"]


@dataclass
class ReLU(Layer):
    path: str = ""

    def forward(self, x: Array, at: Pass) -> Array:
        self.positive = x > 0
        return x * self.positive

    def backward(self, gradient: Array, at: Pass) -> Array:
        return gradient * self.positive


@dataclass
class Activation(Layer):
    """A function of each element, with its derivative; `kind` is the name of PyTorch's class."""

    path: str
    kind: str
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
    cdf: Array = np.vectorize(lambda value: (1 + math.erf(value / math.sqrt(2))) / 2)(x)
    return cdf


ACTIVATIONS: dict[str, Callable[[str], Layer]] = {
    "relu": ReLU,
    "gelu": lambda path: Activation(
        path,
        "GELU",
        lambda x: x * _normal_cdf(x),
        lambda x: _normal_cdf(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "silu": lambda path: Activation(
        path,
        "SiLU",
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    ),
    "tanh": lambda path: Activation(path, "Tanh", np.tanh, lambda x: 1.0 - np.tanh(x) ** 2),
}
"""Activations at a path, by the names that PyTorch documents their formulas under."""


@dataclass
class Dropout(Layer):
    """The dropout layer at `path`, with :func:`isotune.training.dropout.keep_mask`."""

    path: str
    p: float

    def forward(self, x: Array, at: Pass) -> Array:
        self.scale = np.ones_like(x)
        parameters = [name for name in at.state if is_parameter(name)]
        if at.training and at.freeze.drops(self.path, parameters):
            word = layer_seed(at.seed, at.step, self.path, at.shard)
            self.scale = keep_mask(word, x.shape, self.p) / (1 - self.p)
        return x * self.scale

    def backward(self, gradient: Array, at: Pass) -> Array:
        return gradient * self.scale


class GlobalAveragePool(Layer):
    def forward(self, x: Array, at: Pass) -> Array:
        self.shape = x.shape
        means: Array = x.mean((2, 3))
        return means

    def backward(self, gradient: Array, at: Pass) -> Array:
        area = self.shape[2] * self.shape[3]
        return np.broadcast_to(gradient[:, :, None, None] / area, self.shape)


@dataclass
class PointwiseConv(Layer):
    """A convolution of 1 x 1: a linear layer at each place of maps."""

    name: str

    def forward(self, x: Array, at: Pass) -> Array:
        self.x = x
        weight, bias = at.state[f"{self.name}.weight"], at.state[f"{self.name}.bias"]
        y: Array = np.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0])
        return y + bias[:, None, None]

    def backward(self, gradient: Array, at: Pass) -> Array:
        weight = np.einsum("nohw,nchw->oc", gradient, self.x)
        at.gradients[f"{self.name}.weight"] = weight[:, :, None, None]
        at.gradients[f"{self.name}.bias"] = gradient.sum((0, 2, 3))
        weight = at.state[f"{self.name}.weight"][:, :, 0, 0]
        inner: Array = np.einsum("nohw,oc->nchw", gradient, weight)
        return inner


@dataclass
class Auxiliary(Layer):
    """An auxiliary classifier at `path`: computes logits in training and passes its input on."""

    path: str
    layers: Sequence[Layer]

    def forward(self, x: Array, at: Pass) -> Array:
        if at.training:
            at.auxiliary[self.path] = forward(self.layers, x, at)
        return x

    def backward(self, gradient: Array, at: Pass) -> Array:
        own = at.auxiliary_gradients.get(self.path)
        return gradient if own is None else gradient + backward(self.layers, own, at)


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
        windows: Array = sliding_window_view(padded, weight.shape[2:], (2, 3))  # type: ignore[call-overload]
        self.windows = windows[:, :, :: self.stride, :: self.stride]
        y: Array
        if self.depthwise:
            y = np.einsum("nchwij,cij->nchw", self.windows, weight[:, 0])
            return y
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
        y: Array = self.normal * weight[:, None, None]
        return y + bias[:, None, None]

    def _keep(self, mean: Array, variance: Array, at: Pass) -> None:
        for kind, new in (("running_mean", mean), ("running_var", variance)):
            old = at.state[f"{self.name}.{kind}"]
            at.state[f"{self.name}.{kind}"] = (1 - self.momentum) * old + self.momentum * new

    def backward(self, gradient: Array, at: Pass) -> Array:
        axes = (0, 2, 3)
        at.gradients[f"{self.name}.weight"] = (gradient * self.normal).sum(axes)
        at.gradients[f"{self.name}.bias"] = gradient.sum(axes)
        inner: Array = gradient * at.state[f"{self.name}.weight"][:, None, None]
        if self.live:
            along = (inner * self.normal).mean(axes, keepdims=True)
            inner = inner - inner.mean(axes, keepdims=True) - self.normal * along
        scaled: Array = inner / self.root
        return scaled


def forward(layers: Sequence[Layer], x: Array, at: Pass) -> Array:
    """Applies `layers` one after the other."""
    for layer in layers:
        x = layer.forward(x, at)
    return x


def backward(layers: Sequence[Layer], gradient: Array, at: Pass) -> Array:
    """Fills ``at.gradients`` from the gradient of the last output; returns the input's."""
    for layer in reversed(layers):
        gradient = layer.backward(gradient, at)
    return gradient
