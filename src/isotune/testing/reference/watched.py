"""Watches the reference as a tracer watches a backend: the same reports, of float64 values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from isotune.interfaces import tracer
from isotune.interfaces.tracer import Recorder, Setting
from isotune.testing.reference import layers as nets
from isotune.testing.reference.layers import (
    Activation,
    Array,
    Auxiliary,
    BatchNorm,
    Conv,
    Dropout,
    Layer,
    Linear,
    Pass,
    PointwiseConv,
)
from isotune.testing.reference.trainer import ReferenceTrainer


class Watched(Layer):
    """Layers, one after the other, that report their output and its gradient.

    Args:
        path: Their canonical path.
        call: Which call of the layer at this path it is, from 0.
        layers: The layers.
        recorder: Returns who takes the reports.
    """

    def __init__(
        self, path: str, call: int, layers: Sequence[Layer], recorder: Callable[[], Recorder]
    ) -> None:
        self.path, self.call, self.layers, self.recorder = path, call, layers, recorder

    def forward(self, x: Array, at: Pass) -> Array:
        """Returns the output, and reports it."""
        y = nets.forward(self.layers, x, at)
        self.recorder().forward(self.path, [x.astype(np.float32)], y.astype(np.float32))
        return y

    def backward(self, gradient: Array, at: Pass) -> Array:
        """Reports the gradient of the output, and returns that of the input."""
        self.recorder().backward(self.path, self.call, gradient.astype(np.float32))
        return nets.backward(self.layers, gradient, at)


class WatchedNet(Watched):
    """The whole net, which begins a new recorder with each pass."""

    def __init__(self, layers: Sequence[Layer], begin: Callable[[], Recorder]) -> None:
        self.begin = begin
        super().__init__("", 0, watched(layers, lambda: self.current), lambda: self.current)

    def forward(self, x: Array, at: Pass) -> Array:
        """Returns the logits."""
        self.current = self.begin()
        return super().forward(x, at)

    def backward(self, gradient: Array, at: Pass) -> Array:
        """Reports the gradients of all parameters, too."""
        entered = super().backward(gradient, at)
        for name in sorted(at.gradients.keys() - at.freeze.frozen):
            self.current.gradient(name, at.gradients[name].astype(np.float32))
        return entered


def watched(layers: Sequence[Layer], recorder: Callable[[], Recorder]) -> list[Layer]:
    """Returns the layers; those that have a path report what they compute."""
    calls, found = Counter[str](), list[Layer]()
    for layer in layers:
        path = path_of(layer)
        if isinstance(layer, Auxiliary):
            inner = Watched(path, 0, watched(layer.layers, recorder), recorder)
            found.append(Auxiliary(path, [inner]))
        else:
            found.append(Watched(path, calls[path], [layer], recorder) if path else layer)
        calls[path] += 1
    return found


@contextmanager
def watch(trainer: ReferenceTrainer, begin: Callable[[], Recorder]) -> Iterator[None]:
    """Reports what the trainer's steps within the context compute.

    Args:
        trainer: The trainer.
        begin: Returns who takes the reports of the next pass: a batch, or a shard of it that has
            images.
    """
    net = trainer.net
    trainer.net = [WatchedNet(net, begin)]
    try:
        yield
    finally:
        trainer.net = net


def path_of(layer: Layer) -> str:
    """Returns the canonical path of a layer; empty for one that has none."""
    path: str = getattr(layer, "name", getattr(layer, "path", ""))
    return path


def layers_of(net: Sequence[Layer]) -> list[tracer.Layer]:
    """Returns the model itself, and the layers that have a path, as a tracer does."""
    found = {"": tracer.Layer("", "Net", leaf=False)}
    for layer in net:
        if path := path_of(layer):
            found[path] = tracer.Layer(path, *_described(layer), not isinstance(layer, Auxiliary))
        if isinstance(layer, Auxiliary):
            found |= {each.path: each for each in layers_of(layer.layers) if each.path}
    return list(found.values())


def _described(layer: Layer) -> tuple[str, dict[str, Setting]]:
    """Returns the kind and the settings of a layer, by PyTorch's names."""
    match layer:
        case Conv():
            return "Conv2d", {"stride": (layer.stride,) * 2, "padding": layer.padding}
        case PointwiseConv():
            return "Conv2d", {"stride": (1, 1), "padding": (0, 0)}
        case BatchNorm():
            return "BatchNorm2d", {"eps": layer.eps, "momentum": layer.momentum}
        case Dropout():
            return "Dropout", {"p": layer.p}
        case Linear():
            return "Linear", {}
        case Activation():
            return layer.kind, {"approximate": "none"} if layer.kind == "GELU" else {}
        case _:
            return type(layer).__name__, {}
