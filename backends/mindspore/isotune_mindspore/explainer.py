"""Explainer: outputs, inputs and gradients of cells, by forward hooks in PyNative mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from numpy.typing import NDArray

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.explainer import Explainer, missing_part, no_tensor, unused_part
from isotune_mindspore.cells import modes_kept
from isotune_mindspore.step import pynative_mode


class MindSporeExplainer(Explainer):
    """A compiled graph runs no hooks: the model computes in PyNative mode."""

    def maps_and_gradients(
        self, model: nn.Cell, path: str, batch: DeviceBatch, score_weights: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns the output of the cell at `path`, and the scores' gradients.

        There are two forward passes: the first one finds the output, and in the second one it is
        the variable of differentiation.

        Raises:
            BackendError: there is no such cell, evaluation does not use it, or its output is not
                one tensor.
        """
        cell, weights = _part(model, path), Tensor(score_weights)
        found: list[Tensor] = []

        def observe(cell: nn.Cell, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise no_tensor(model, path, output)
            found[:] = [output]

        def score(maps: Tensor) -> Tensor:
            with _hook(cell, lambda *_: maps):
                return (model(batch.images) * weights).sum()

        with _evaluating(model):
            with _hook(cell, observe):
                model(batch.images)
            maps = _used(found, model, path)
            gradients = ms.grad(score)(maps)
        return _array(maps), _array(gradients)

    def inputs(
        self, model: nn.Cell, paths: Sequence[str], batch: DeviceBatch
    ) -> list[NDArray[np.float32]]:
        """Returns the first input of each cell.

        Raises:
            BackendError: there is no such cell, or evaluation does not use it.
        """
        parts: list[list[Tensor]] = [[] for _ in paths]
        cells, handles = [_part(model, path) for path in paths], []

        def observer(found: list[Tensor]) -> Any:
            def observe(cell: nn.Cell, inputs: tuple[Tensor, ...]) -> None:
                found[:] = [inputs[0]]

            return observe

        with _evaluating(model):
            try:
                for cell, found in zip(cells, parts, strict=True):
                    handles.append(cell.register_forward_pre_hook(observer(found)))
                model(batch.images)
            finally:
                for handle in handles:
                    handle.remove()
        pairs = zip(parts, paths, strict=True)
        return [_array(_used(found, model, path)) for found, path in pairs]


def _part(model: nn.Cell, path: str) -> nn.Cell:
    cells = dict(model.cells_and_names())
    if path and path in cells:
        return cells[path]
    raise missing_part(model, path, cells, model.name_cells())


def _used(found: list[Tensor], model: nn.Cell, path: str) -> Tensor:
    if found:
        return found[0]
    raise unused_part(model, path)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.array(tensor.asnumpy(), np.float32)


@contextmanager
def _hook(cell: nn.Cell, hook: Any) -> Iterator[None]:
    handle = cell.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _evaluating(model: nn.Cell) -> Iterator[None]:
    """Evaluation in PyNative mode; afterwards each cell has its own mode again."""
    with modes_kept(model):
        model.set_train(False)
        with pynative_mode():
            yield
