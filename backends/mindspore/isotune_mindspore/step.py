"""One training step and one evaluation step, each a single cell that is compiled as a whole.

That is MindSpore's fastest way to train (a compiled function with an optimizer outside takes
1.4 times as long). A compiled cell keeps the modes and ``requires_grad`` flags that it was
compiled with.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import mindspore as ms
from mindspore import ParameterTuple, Tensor, nn, ops

from isotune_mindspore.clipping import Clipping
from isotune_mindspore.compile_cache import compile_cell
from isotune_mindspore.dropout import Dropout


class TrainStep(nn.Cell):
    """Forward pass, loss, gradients of `weights` only, and their update.

    Args:
        model: Returns the logits; with `auxiliary`, followed by those of auxiliary classifiers.
        loss: Loss of logits and labels.
        weights: Trainable parameters.
        update: Takes their gradients and scalars, and updates or sums them.
        dropouts: The model's dropout cells.
        auxiliary: Factor of the auxiliary losses; None if there are none.
        averages: Takes the last scalar and moves averages after the update; None if there are none.
    """

    def __init__(
        self,
        model: nn.Cell,
        loss: nn.Cell,
        weights: ParameterTuple,
        update: nn.Cell,
        dropouts: Iterable[Dropout],
        auxiliary: float | None = None,
        averages: nn.Cell | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.model = model
        self.loss = loss
        self.update = update
        self.clips = isinstance(update, Clipping)
        self.auxiliary = auxiliary
        self.averages = averages
        self.seeds = ParameterTuple([dropout.seed for dropout in dropouts])
        self.assign, self.unstack = ops.Assign(), ops.Unstack()
        self.with_gradients = ms.value_and_grad(self.forward, None, weights, has_aux=True)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the scalar loss and the logits (N, classes)."""
        outputs = self.model(images)
        if self.auxiliary is None:
            return self.loss(outputs, labels), outputs
        loss = self.loss(outputs[0], labels)
        if self.auxiliary > 0:
            for logits in outputs[1:]:
                loss = loss + self.auxiliary * self.loss(logits, labels)
        return loss, outputs[0]

    def construct(
        self, images: Tensor, labels: Tensor, scalars: Tensor, seeds: Tensor
    ) -> tuple[Tensor, ...]:
        """Makes one step with the rules' `scalars` and the dropout layers' `seeds`.

        Returns loss, logits and, with clipping, the norm of the gradient.
        """
        if self.seeds:
            values = self.unstack(seeds)
            for i, seed in enumerate(self.seeds):
                self.assign(seed, values[i])
        (loss, logits), gradients = self.with_gradients(images, labels)
        values = self.unstack(scalars)
        norm = self.update(gradients, values)
        if self.averages is not None:
            self.averages(values[-1])
        if self.clips:
            return loss, logits, norm
        return loss, logits


class EvalStep(nn.Cell):
    """The forward pass. A cell of its own, so that training and evaluation each compile once."""

    def __init__(self, model: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.model = model

    def construct(self, images: Tensor) -> Tensor:
        """Returns the logits (N, classes)."""
        return self.model(images)


class Compiled:
    """A step's cell, which MindSpore compiles once for all inputs of the same shapes and types.

    Args:
        cell: The cell.
        set_modes: Sets the modes of the cells within it.
        plain: The cell that :func:`uncompiled` runs in its place, whose model is the model itself.
    """

    def __init__(
        self, cell: nn.Cell, set_modes: Callable[[], None], plain: nn.Cell | None = None
    ) -> None:
        self.cell = cell
        self.set_modes = set_modes
        self._plain = cell if plain is None else plain
        self._compiled: set[tuple[Any, ...]] = set()

    def __call__(self, *inputs: Tensor) -> Any:
        """Runs the step; new shapes or types of its inputs compile it first."""
        if _run is not None:
            self.set_modes()
            with pynative_mode():
                return _run(self._plain, *inputs)
        kinds = tuple((each.shape, each.dtype) for each in inputs)
        if kinds not in self._compiled:
            if not self._compiled:
                # Collecting another compiled cell later would compile this one again.
                gc.collect()
            self.set_modes()
            with graph_mode():
                compile_cell(self.cell, inputs)
            self._compiled.add(kinds)
        with graph_mode():
            return self.cell(*inputs)


Run = Callable[..., Any]
"""Calls a cell with its inputs."""

_run: Run | None = None


@contextmanager
def uncompiled(run: Run) -> Iterator[None]:
    """Lets `run` call the cells of all steps within, in PyNative mode.

    What is compiled stays so: a step is compiled for the same shapes afterwards as before.
    """
    global _run
    before, _run = _run, run
    try:
        yield
    finally:
        _run = before


def graph_mode() -> AbstractContextManager[None]:
    """Compiles the cells that are called within, then restores the mode of the process."""
    return _mode(ms.GRAPH_MODE)


def pynative_mode() -> AbstractContextManager[None]:
    """Compiles nothing within, then restores the mode of the process."""
    return _mode(ms.PYNATIVE_MODE)


@contextmanager
def _mode(mode: int) -> Iterator[None]:
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        yield
    finally:
        ms.set_context(mode=before)
