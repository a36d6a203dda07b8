"""Tracer: the core decides what of a training step is kept; a backend lets it watch the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.trainer import StepPlan, Trainer

Array = NDArray[np.float32]

Setting = bool | int | float | str | tuple[int, ...]
"""A setting of a layer, in PyTorch's convention."""


@dataclass(frozen=True)
class Layer:
    """A part of a model that has inputs and an output: a layer, a block, or the model itself.

    Attributes:
        path: Its canonical path, such as ``layer1.0.conv1``; empty for the model itself.
        kind: Its class, by PyTorch's name where PyTorch has it, such as ``Conv2d``.
        settings: What it computes with besides its parameters, by PyTorch's names and in PyTorch's
            conventions, such as ``eps``, ``momentum``, ``padding`` or ``approximate``; empty where
            it is not known.
        leaf: Whether it has no parts of its own.
    """

    path: str
    kind: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    leaf: bool = True

    def differing(self, other: Layer) -> list[str]:
        """Returns the names of settings that both layers have and that are not the same.

        A number that one side keeps in float32 and the other in float64 is the same. Layers of
        different kinds may compute the same by other settings: of them none is returned.
        """
        if self.kind != other.kind:
            return []
        return [
            name
            for name, value in self.settings.items()
            if name in other.settings and not _same(value, other.settings[name])
        ]


def _same(one: Setting, other: Setting) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other


class Recorder(ABC):
    """Takes what a watched training step computes, in order of execution.

    Arrays are float32 and valid during the call only. An output is the first tensor where there are
    several, and nothing is reported of a layer that has none. Gradients are of the loss times the
    plan's ``loss_scale``, without any scale of float16.

    Attributes:
        inputs: Whether to report the inputs of all layers; if not, only those of the model itself.
    """

    inputs: bool = False

    @abstractmethod
    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        """Takes the output of a call of a layer, once the call has ended.

        Args:
            path: The layer's canonical path.
            inputs: Its tensors, in the order of its arguments; empty where they are not reported.
            output: Its output, before a later layer changes it in place.
        """

    @abstractmethod
    def backward(self, path: str, call: int, gradient: Array) -> None:
        """Takes the gradient of the loss with respect to a layer's output.

        Args:
            path: The layer's canonical path.
            call: Which of its calls in this step it is of, from 0.
            gradient: The gradient, of the output's shape.
        """

    @abstractmethod
    def gradient(self, parameter: str, gradient: Array) -> None:
        """Takes the gradient of a parameter, of this step alone.

        Args:
            parameter: The parameter's canonical name.
            gradient: The gradient, in the canonical layout.
        """


@dataclass(frozen=True)
class LayerRun:
    """What a layer computes of given inputs.

    Attributes:
        output: Its output.
        inputs: Gradient with respect to each of its inputs; None for one without.
        parameters: Gradients of its parameters, by their canonical names in the model.
    """

    output: Array
    inputs: tuple[Array | None, ...] = ()
    parameters: Mapping[str, Array] = field(default_factory=dict)


def moved(numbers: Array, up: NDArray[np.bool_], ulps: int = 1) -> Array:
    """Returns numbers, each moved up or down by so many float32 numbers."""
    lowest = np.int64(-(2**31))
    bits = numbers.view(np.int32).astype(np.int64)
    # Bits of positive numbers have their order, those of negative ones the reverse.
    ordered = np.where(bits < 0, lowest - bits, bits) + np.where(up, ulps, -ulps)
    result: Array = np.where(ordered < 0, lowest - ordered, ordered).astype(np.int32)
    return result.view(np.float32)


class Tracer(ABC):
    """Watches training steps without changing them, and runs single layers."""

    @abstractmethod
    def layers(self, trainer: Trainer) -> list[Layer]:
        """Returns the parts of the trainer's model, in the order of its definition."""

    @abstractmethod
    def watch(self, trainer: Trainer, recorder: Recorder) -> AbstractContextManager[bool]:
        """Reports to `recorder` what the trainer's steps within the context compute.

        Afterwards nothing of it is left on the model.

        Returns:
            A context manager whose value is whether the steps compute the same bytes as without
            it; False where a compiled step cannot be watched and runs without being compiled.
        """

    @abstractmethod
    def run(
        self,
        trainer: Trainer,
        path: str,
        inputs: Sequence[Array],
        gradient: Array | None,
        plan: StepPlan,
    ) -> LayerRun:
        """Runs one layer on given inputs as a training step would; nothing of the model changes.

        Args:
            trainer: The trainer, after ``freeze``.
            path: The layer's canonical path.
            inputs: Its inputs, as :meth:`Recorder.forward` gave them, perhaps of another backend.
            gradient: Gradient with respect to its output; None computes no gradients.
            plan: The step, which decides dropout.

        Raises:
            BackendError: There is no such layer, or it does not take such inputs.
        """

    @abstractmethod
    def nudged(self, batch: DeviceBatch, up: NDArray[np.bool_], ulps: int = 1) -> DeviceBatch:
        """Returns the batch with every number moved, as :func:`moved` moves it.

        Args:
            batch: The batch.
            up: Whether to move a number up, shape of ``batch.images``.
            ulps: By how many float32 numbers: one moves it to its neighbor.
        """

    def variants(self, trainer: Trainer) -> Mapping[str, AbstractContextManager[object]]:
        """Returns ways to compute that ought not to matter, such as with one thread.

        Returns:
            Context managers in which the trainer's steps compute in another way, by a name such as
            ``1 thread``; each can be entered more than once, one after the other.
        """
        return {}
