"""A trace: what one side computes in some training steps, and how much it differs from itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.traces.sampling import Values
from isotune.interfaces.tracer import Layer

Stage = Literal["input", "forward", "loss", "backward", "gradient", "update", "state"]
"""Of what kind a value is, in the order in which a step computes them.

``input``: ``images``, what the model gets, after normalization. ``forward``: a layer's output; its
name is the layer's path, and from the layer's second call on ``PATH:CALL``, counted from 0.
``loss``: ``loss`` (shape ()) and ``logits``. ``backward``: the gradient of a layer's output, with
the name of the output. ``gradient``: of a parameter. ``update``: what the step adds to a parameter.
``state``: parameters, BatchNorm statistics and the optimizer's slots (``PARAMETER/SLOT``) after
the step.
"""

STAGES: tuple[Stage, ...] = get_args(Stage)


def key(stage: Stage, name: str) -> str:
    """Returns the name of a value in a trace, by which it is sampled, too."""
    return f"{stage}/{name}"


def call_name(path: str, call: int) -> str:
    """Returns the name of a layer's call, counted from 0."""
    return f"{path}:{call}" if call else path


def path_of(name: str) -> str:
    """Returns the path of the layer of a call, by the call's name."""
    return name.partition(":")[0]


@dataclass(frozen=True)
class Side:
    """Who has computed a trace.

    Attributes:
        backend: Name of the backend.
        device: Device, as in ``cuda:0``.
        precision: Precision of the model's computation.
        compile: Whether the spec asks to compile the model.
        processes: Number of processes.
        threads: Number of CPU threads of each process.
        versions: Versions of packages that can change what is computed.
        machine: Description of the machine: plain text by plain names.
    """

    backend: str
    device: str
    precision: str
    compile: bool
    processes: int
    threads: int
    versions: Mapping[str, str]
    machine: Mapping[str, str]

    @property
    def label(self) -> str:
        """How a person tells it from others: ``torch on cuda:0``."""
        return f"{self.backend} on {self.device}"


@dataclass(frozen=True, eq=False)
class TracedStep:
    """One training step.

    Attributes:
        step: Its number in the run, from 0.
        batch: SHA-256 of its images and labels, before normalization.
        learning_rate: Its learning rate.
        loss: Its loss, as computed without watching.
        watched: Whether the watched step is the step itself: the same bytes. If not, what is
            watched ran layer by layer, neither compiled nor with layers folded into others, while
            ``loss``, ``update`` and ``state`` are of the step that trains.
        same_logits: Whether the step that trains has the loss and logits of the watched one, to the
            byte.
        values: What was computed, by :func:`key`, in order of execution.
        yardsticks: How much the side differs from itself when something changes that ought not to
            matter: by the name of the change, such as ``1 ulp``, the relative difference of each
            value's samples (:func:`isotune.equivalence.traces.sampling.difference`), by key.
        whole: Whole arrays, by key: inputs of layers (``inputs/NAME/NUMBER``, NAME as for
            ``forward``), their outputs and the outputs' gradients; empty unless they were asked
            for.
        runs: What each call of a layer computes of its whole inputs when it runs alone, by the keys
            of :class:`isotune.equivalence.local.differences.LocalDifferences`; empty without whole
            arrays.
        run_yardsticks: Relative differences of the same when the inputs and the output's gradient
            are nudged by one ulp.
    """

    step: int
    batch: str
    learning_rate: float
    loss: float
    watched: bool
    values: Mapping[str, Values]
    same_logits: bool = False
    yardsticks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    whole: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    runs: Mapping[str, Values] = field(default_factory=dict)
    run_yardsticks: Mapping[str, float] = field(default_factory=dict)

    def yardstick(self, name: str) -> float:
        """Returns how much the side differs from itself in a value: 0 if that is not known."""
        return max((each.get(name, 0.0) for each in self.yardsticks.values()), default=0.0)


@dataclass(frozen=True, eq=False)
class Drift:
    """How training goes on for some steps, and how it goes when something else changes.

    Attributes:
        losses: float32, shape (steps,), by the name of the change; the run itself has the name
            ``itself``.
        parameters: float32, shape (steps, samples), by the same names: samples of the parameters
            that have a gradient in the first step, after each step, at places that
            :func:`isotune.equivalence.traces.sampling.positions` gives for their concatenation by
            sorted names, under the name ``drift``.
    """

    losses: Mapping[str, NDArray[np.float32]]
    parameters: Mapping[str, NDArray[np.float32]]


ITSELF = "itself"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the model predicts for validation images after the steps of :class:`Drift`.

    Attributes:
        images: SHA-256 of the images, before normalization.
        labels: As in :class:`isotune.interfaces.dataset.ImageSource`.
        logits: float32, shape (images, classes) or (images, 1), by the name of the change; the
            run itself has the name ``itself``.
    """

    images: str
    labels: NDArray[Any]
    logits: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Trace:
    """What one side computes of an experiment.

    Attributes:
        side: Who has computed it.
        experiment: The resolved spec, as JSON.
        classes: Class names, in label order.
        start: SHA-256 of each tensor at the start, by canonical name.
        layers: The model's layers, in the order of its definition.
        steps: The traced steps, one after the other from the start.
        drift: How training goes on; None if that was not asked for.
        predictions: What the model predicts; None if that was not asked for.
    """

    side: Side
    experiment: Mapping[str, Any]
    classes: tuple[str, ...]
    start: Mapping[str, str]
    layers: tuple[Layer, ...]
    steps: tuple[TracedStep, ...]
    drift: Drift | None = None
    predictions: Predictions | None = None
