"""Layers in float32 with their gradients: what a framework would bring along."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from isotune.training.dropout import keep_mask

Array = NDArray[np.float32]


class Layer(ABC):
    """A layer that keeps what its gradient needs from its last forward call.

    Attributes:
        training: Whether it is in training mode.
        parameters: Parameters by the last part of their names; they are updated in place.
        statistics: What else belongs to its state.
        gradients: Gradients of the parameters, set by :meth:`backward`.
    """

    training = False

    def __init__(self, **parameters: Array) -> None:
        self.parameters = parameters
        self.statistics: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Returns the output."""

    @abstractmethod
    def backward(self, gradient: Array) -> Array:
        """Returns the gradient of the input, given that of the output."""


class Flatten(Layer):
    """From (N, ...) to (N, values)."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient: Array) -> Array:
        return gradient.reshape(self.shape)


class Linear(Layer):
    """``x @ weight.T + bias``; the weight has shape (outputs, inputs)."""

    def __init__(self, weight: Array, bias: Array) -> None:
        super().__init__(weight=weight, bias=bias)

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.parameters["weight"].T + self.parameters["bias"]

    def backward(self, gradient: Array) -> Array:
        self.gradients = {"weight": gradient.T @ self.x, "bias": gradient.sum(0)}
        return gradient @ self.parameters["weight"]


class Conv(Layer):
    """A convolution with stride 1, no bias and weights of shape (outputs, inputs, k, k)."""

    def __init__(self, weight: Array, padding: int) -> None:
        super().__init__(weight=weight)
        self.padding = padding

    def forward(self, x: Array) -> Array:
        self.windows = self._windows(x, self.padding)
        y = np.tensordot(self.windows, self.parameters["weight"], ((1, 4, 5), (1, 2, 3)))
        return y.transpose(0, 3, 1, 2)

    def backward(self, gradient: Array) -> Array:
        weight = self.parameters["weight"]
        self.gradients = {"weight": np.tensordot(gradient, self.windows, ((0, 2, 3), (0, 2, 3)))}
        windows = self._windows(gradient, weight.shape[2] - 1 - self.padding)
        flipped = weight[:, :, ::-1, ::-1]
        return np.tensordot(windows, flipped, ((1, 4, 5), (0, 2, 3))).transpose(0, 3, 1, 2)

    def _windows(self, x: Array, padding: int) -> Array:
        around = (padding, padding)
        padded = np.pad(x, ((0, 0), (0, 0), around, around))
        size = self.parameters["weight"].shape[2:]
        windows: Array = sliding_window_view(padded, size, (2, 3))  # type: ignore[call-overload]
        return windows


class BatchNorm(Layer):
    """The batch's biased variance normalizes, the unbiased one enters the running variance."""

    eps, momentum = 1e-5, 0.1

    def __init__(self, channels: int) -> None:
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        super().__init__(weight=ones.copy(), bias=zeros.copy())
        self.statistics = {"running_mean": zeros, "running_var": ones}

    def forward(self, x: Array) -> Array:
        self.live = self.training
        if self.live:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
            self.keep(x)
        else:
            mean, variance = self.statistics.values()
        self.root = np.sqrt(variance + np.float32(self.eps))[:, None, None]
        self.normal = (x - mean[:, None, None]) / self.root
        weight, bias = (value[:, None, None] for value in self.parameters.values())
        y: Array = self.normal * weight + bias
        return y

    def keep(self, x: Array) -> None:
        """Moves the running statistics towards those of a batch."""
        batch = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=1)
        for running, new in zip(self.statistics.values(), batch, strict=True):
            running += np.float32(self.momentum) * (new - running)

    def backward(self, gradient: Array) -> Array:
        axes = (0, 2, 3)
        self.gradients["weight"] = (gradient * self.normal).sum(axes)
        self.gradients["bias"] = gradient.sum(axes)
        inner: Array = gradient * self.parameters["weight"][:, None, None]
        if self.live:
            along = (inner * self.normal).mean(axes, keepdims=True)
            inner = inner - inner.mean(axes, keepdims=True) - self.normal * along
        scaled: Array = inner / self.root
        return scaled


class Dropout(Layer):
    """Drops what the core's mask says.

    Attributes:
        seed: The layer's dropout seed of the training step; the trainer sets it.
        first: Position of the first image in its shard; the trainer sets it, too.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p, self.seed, self.first = p, 0, 0

    def forward(self, x: Array) -> Array:
        self.scale = np.ones(x.shape, np.float32)
        if self.training:
            before = self.first * x[0].size
            self.scale = keep_mask(self.seed, x.shape, self.p, before) / np.float32(1 - self.p)
        return x * self.scale

    def backward(self, gradient: Array) -> Array:
        return gradient * self.scale


class MeanPool(Layer):
    """The mean over height and width."""

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        means: Array = x.mean((2, 3))
        return means

    def backward(self, gradient: Array) -> Array:
        area = np.float32(self.shape[2] * self.shape[3])
        return np.broadcast_to(gradient[:, :, None, None] / area, self.shape)


class Activation(Layer):
    """A function of each element, with its derivative."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.function, self.derivative = ACTIVATIONS[name]

    def forward(self, x: Array) -> Array:
        self.x = x
        return self.function(x)

    def backward(self, gradient: Array) -> Array:
        return gradient * self.derivative(self.x)


def sigmoid(x: Array) -> Array:
    """Returns ``1 / (1 + exp(-x))``."""
    y: Array = np.float32(0.5) * (1 + np.tanh(x / 2))
    return y


def normal_cdf(x: Array) -> Array:
    """Returns the distribution function of the standard normal distribution."""
    halves = [0.5 + 0.5 * math.erf(value / math.sqrt(2)) for value in x.ravel()]
    return np.array(halves, np.float32).reshape(x.shape)


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(np.float32)),
    "gelu": (
        lambda x: x * normal_cdf(x),
        lambda x: normal_cdf(x) + x * np.exp(-x * x / 2) / np.float32(math.sqrt(2 * math.pi)),
    ),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * (1 - sigmoid(x)))),
    "tanh": (np.tanh, lambda x: np.float32(1) - np.tanh(x) ** 2),
}
"""The activations of a head, with their derivatives."""
