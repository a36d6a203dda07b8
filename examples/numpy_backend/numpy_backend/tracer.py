"""Tracer: reports what the layers of a training step compute, and runs single ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isotune.errors import BackendError
from isotune.interfaces import tracer as interface
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.tracer import LayerRun, Recorder, Setting, Tracer, moved
from isotune.interfaces.trainer import StepPlan, Trainer
from numpy_backend.backbone import Net
from numpy_backend.checkpoint import own
from numpy_backend.layers import Activation, Array, BatchNorm, Conv, Dropout, Layer
from numpy_backend.trainer import WHOLE, seed_dropout


class NumpyTracer(Tracer):
    """There is no compiled step: the watched one is always the step itself."""

    def layers(self, trainer: Trainer) -> list[interface.Layer]:
        parts = own(trainer).model.layers.items()
        leaves = [interface.Layer(path, kind(each), settings(each)) for path, each in parts]
        return [interface.Layer("", "Net", leaf=False), *leaves]

    @contextmanager
    def watch(self, trainer: Trainer, recorder: Recorder) -> Iterator[bool]:
        mine = own(trainer)
        model = mine.model
        mine.model = WatchedNet(model, recorder, lambda name: name not in mine.freeze_plan.frozen)
        try:
            yield True
        finally:
            mine.model = model

    def run(
        self,
        trainer: Trainer,
        path: str,
        inputs: Sequence[Array],
        gradient: Array | None,
        plan: StepPlan,
    ) -> LayerRun:
        mine = own(trainer)
        model = copied(mine.model)
        mine.freezing.training_mode(model, mine.freeze_plan)
        part = WHOLE if plan.part is None else plan.part
        seed_dropout(model, mine.plan.seed, plan.step, part)
        if path and path not in model.layers:
            raise BackendError(f"the model has no layer '{path}'.")
        layer = Net(**{path: model.layers[path]}) if path else model
        try:
            (x,) = inputs
            output = layer(x)
            if gradient is None:
                return LayerRun(output)
            entered, gradients = layer.backward(gradient.reshape(output.shape))
        except (ValueError, IndexError) as error:
            given = [each.shape for each in (*inputs, *([] if gradient is None else [gradient]))]
            raise BackendError(f"layer '{path}' does not take arrays of shape {given}.") from error
        trained = {k: v for k, v in gradients.items() if k not in mine.freeze_plan.frozen}
        return LayerRun(output, (np.array(entered),), trained)

    def nudged(self, batch: DeviceBatch, up: NDArray[np.bool_], ulps: int = 1) -> DeviceBatch:
        return replace(batch, images=moved(batch.images, up, ulps))


class WatchedNet(Net):
    """A model that shares another one's layers and reports what they compute.

    Args:
        model: The other model.
        recorder: Takes the reports.
        trains: Whether a parameter trains, by its canonical name.
    """

    def __init__(self, model: Net, recorder: Recorder, trains: Callable[[str], bool]) -> None:
        self.layers = model.layers
        self.recorder = recorder
        self.trains = trains

    def __call__(self, x: Array) -> Array:
        def report(path: str, entered: Array, output: Array) -> None:
            self.recorder.forward(path, [entered] if self.recorder.inputs else [], output)

        with calls_reported(self.layers, "forward", report):
            output = super().__call__(x)
        self.recorder.forward("", [x], output)
        return output

    def backward(self, gradient: Array) -> tuple[Array, dict[str, Array]]:
        def report(path: str, gradient: Array, _: Array) -> None:
            self.recorder.backward(path, 0, gradient)

        self.recorder.backward("", 0, gradient)
        with calls_reported(self.layers, "backward", report):
            entered, gradients = super().backward(gradient)
        for name, value in gradients.items():
            if self.trains(name):
                self.recorder.gradient(name, value)
        return entered, gradients


Report = Callable[[str, Array, Array], None]
"""Takes a layer's path, what a method of it was given, and what it returned."""


@contextmanager
def calls_reported(layers: dict[str, Layer], method: str, report: Report) -> Iterator[None]:
    """Reports each call of a method of the layers.

    An attribute of the layer itself hides the method of its class, and is taken away afterwards.
    """
    for path, layer in layers.items():
        vars(layer)[method] = reporting(path, getattr(layer, method), report)
    try:
        yield
    finally:
        for layer in layers.values():
            del vars(layer)[method]


def reporting(
    path: str, function: Callable[[Array], Array], report: Report
) -> Callable[[Array], Array]:
    """Returns the function with a report after each call."""

    def call(given: Array) -> Array:
        returned = function(given)
        report(path, given, returned)
        return returned

    return call


def copied(model: Net) -> Net:
    """Returns a model with the same parameters, and copies of all else that a pass changes."""
    layers = {path: copy(layer) for path, layer in model.layers.items()}
    for layer in layers.values():
        layer.statistics = {name: value.copy() for name, value in layer.statistics.items()}
        layer.gradients = {}
    return Net(**layers)


def kind(layer: Layer) -> str:
    """Returns the name of a layer's class, PyTorch's where it has one."""
    names = {"relu": "ReLU", "gelu": "GELU", "silu": "SiLU", "tanh": "Tanh"}
    match layer:
        case Conv():
            return "Conv2d"
        case BatchNorm():
            return "BatchNorm2d"
        case Activation():
            return names[layer.name]
        case _:
            return type(layer).__name__


def settings(layer: Layer) -> dict[str, Setting]:
    """Returns what a layer computes with besides its parameters, by PyTorch's names."""
    match layer:
        case Conv():
            return {"stride": (1, 1), "padding": (layer.padding, layer.padding)}
        case BatchNorm():
            return {"eps": layer.eps, "momentum": layer.momentum}
        case Dropout():
            return {"p": layer.p}
        case Activation(name="gelu"):
            return {"approximate": "none"}
        case _:
            return {}
