"""Tracer: watches training steps by hooks, and runs single cells, in PyNative mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn
from numpy.typing import NDArray

from isotune.errors import BackendError, nearest
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.tracer import Array, Layer, LayerRun, Recorder, Tracer, moved
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune_mindspore.accumulation import Accumulation
from isotune_mindspore.arrays import from_parameter, set_parameters
from isotune_mindspore.cells import modes_kept
from isotune_mindspore.layer_kinds import layer, parts
from isotune_mindspore.models.layers import GlobalMean
from isotune_mindspore.step import TrainStep, pynative_mode, uncompiled
from isotune_mindspore.trainer import MindSporeTrainer, own_trainer
from isotune_mindspore.variants import variants


class MindSporeTracer(Tracer):
    """A compiled graph runs no hooks: what is watched computes without being compiled."""

    def layers(self, trainer: Trainer) -> list[Layer]:
        """Returns the parts of the trainer's model, in the order of its definition."""
        return [layer(path, cell) for path, cell in parts(own_trainer(trainer).model).items()]

    @contextmanager
    def watch(self, trainer: Trainer, recorder: Recorder) -> Iterator[bool]:
        """Reports to `recorder` what the trainer's steps within the context compute.

        Returns:
            A context manager whose value is False: the steps run without being compiled, by other
            kernels. Steps that were compiled before stay compiled.
        """
        watcher = _Watcher(own_trainer(trainer), recorder)
        with modes_kept(watcher.model), watcher.hooks(), uncompiled(watcher.run):
            yield False

    def run(
        self,
        trainer: Trainer,
        path: str,
        inputs: Sequence[Array],
        gradient: Array | None,
        plan: StepPlan,
    ) -> LayerRun:
        """Runs one cell on given inputs as a training step would; nothing of the model changes.

        Dropout drops what its first use in the step drops.

        Raises:
            BackendError: There is no such cell, or it does not take such inputs.
        """
        ours = own_trainer(trainer)
        cell = _part(ours.model, path)
        tensors = [Tensor(np.array(each, np.float32)) for each in inputs]
        with modes_kept(ours.model), _state_kept(cell, ours), pynative_mode():
            ours.training_mode()
            seeds = zip(ours.dropouts.values(), ours.seeds(plan).asnumpy(), strict=False)
            set_parameters((dropout.seed, seed) for dropout, seed in seeds)
            try:
                if gradient is None:
                    return LayerRun(_canonical(cell, _array(_first(cell(*tensors)))))
                return _with_gradients(cell, tensors, gradient, ours)
            except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
                shapes = ", ".join(str(each.shape) for each in inputs)
                raise BackendError(
                    f"'{path}' ({type(cell).__name__}) does not take inputs of shape {shapes}:"
                    f" {str(error).strip().splitlines()[0]}"
                ) from error

    def nudged(self, batch: DeviceBatch, up: NDArray[np.bool_], ulps: int = 1) -> DeviceBatch:
        """Returns the batch with every number moved."""
        images = moved(batch.images.asnumpy(), up, ulps)
        return DeviceBatch(Tensor(images), batch.labels, batch.size)

    def variants(self, trainer: Trainer) -> Mapping[str, AbstractContextManager[object]]:
        """Returns convolutions and linear layers that sum over their channels in another order.

        Depthwise ones are computed by MindSpore's kernel for maps of all sizes.
        """
        return variants(own_trainer(trainer))


class _Watcher:
    """Reports to a recorder what a trainer's steps compute."""

    def __init__(self, trainer: MindSporeTrainer, recorder: Recorder) -> None:
        self.model = trainer.model
        self._trainer = trainer
        self._recorder = recorder
        self._watching = False
        self._scale = 1.0
        self._calls: dict[str, int] = {}
        self._handles: list[Any] = []
        self._last: Tensor | None = None
        self._names: list[tuple[nn.Cell, str, int]] = []

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Hooks on all parts of the model, which are silent outside of training steps."""
        handles = [
            cell.register_forward_hook(self._observer(path))
            for path, cell in parts(self.model).items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def run(self, step: nn.Cell, *inputs: Tensor) -> Any:
        """Calls the cell of a step, and watches it if it trains the model."""
        if not isinstance(step, TrainStep) or step.model is not self.model:
            return step(*inputs)
        self._watching, self._calls = True, {}
        # With accumulation, gradients are scaled only as they are added up.
        self._scale = float(inputs[2][0]) if isinstance(step.update, Accumulation) else 1.0
        self._handles = [step.update.register_forward_pre_hook(self._take)]
        try:
            return step(*inputs)
        finally:
            self._watching, self._last = False, None
            for handle in self._handles:
                handle.remove()

    def _observer(self, path: str) -> Any:
        def observe(cell: nn.Cell, inputs: tuple[Any, ...], output: Any) -> None:
            tensor = _first(output)
            if not self._watching or tensor is None:
                return
            call = self._calls.get(path, 0)
            self._calls[path] = call + 1
            given = _distinct(inputs)
            reported = [_view(each) for each in given if self._recorder.inputs or not path]
            self._recorder.forward(path, reported, _canonical(cell, _view(tensor)))
            # The gradient of a tensor that is merely passed on is that of all its uses.
            if not any(tensor is each for each in given):
                self._await_gradient(tensor, cell, path, call)

        return observe

    def _await_gradient(self, output: Tensor, cell: nn.Cell, path: str, call: int) -> None:
        """Reports the gradient of an output once it is known.

        Where cells return what one within them has returned, the outermost comes first.
        """
        if output is self._last:
            self._names.append((cell, path, call))
            return
        self._last, self._names = output, [(cell, path, call)]
        names = self._names

        def report(gradient: Tensor) -> Tensor:
            array = self._scaled(gradient)
            for cell, path, call in reversed(names):
                self._recorder.backward(path, call, _canonical(cell, array))
            return gradient

        self._handles.append(output.register_hook(report))

    def _take(self, update: nn.Cell, inputs: tuple[Any, ...]) -> None:
        for name, gradient in zip(self._trainer.trained, inputs[0], strict=True):
            self._recorder.gradient(name, self._scaled(gradient))

    def _scaled(self, gradient: Tensor) -> Array:
        array = _view(gradient)
        return array if self._scale == 1 else array * self._scale


def _part(model: nn.Cell, path: str) -> nn.Cell:
    cells = parts(model)
    if path in cells:
        return cells[path]
    raise BackendError(
        f"{type(model).__name__} has no part '{path}' that runs.{nearest(path, cells)}"
    )


@contextmanager
def _state_kept(cell: nn.Cell, trainer: MindSporeTrainer) -> Iterator[None]:
    """Gives BatchNorm's statistics and the seeds of dropout their present values afterwards."""
    values = [each for each in cell.get_parameters() if not each.requires_grad]
    values += [dropout.seed for dropout in trainer.dropouts.values()]
    before = [(each, from_parameter(each)) for each in values]
    try:
        yield
    finally:
        set_parameters(before)


def _with_gradients(
    cell: nn.Cell, inputs: list[Tensor], gradient: Array, trainer: MindSporeTrainer
) -> LayerRun:
    own = {id(each) for each in cell.get_parameters()}
    weights = {name: each for name, each in trainer.trained.items() if id(each) in own}

    def score(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        output = _first(cell(*tensors))
        given = Tensor(np.array(gradient, np.float32).reshape(output.shape))
        return (output * given).sum(), output

    variables = ParameterTuple(list(weights.values())) if weights else None
    compute = ms.value_and_grad(score, tuple(range(len(inputs))), variables, has_aux=True)
    (_, output), found = compute(*inputs)
    of_inputs, of_weights = found if weights else (found, ())
    if isinstance(of_inputs, Tensor):
        of_inputs = (of_inputs,)
    return LayerRun(
        _canonical(cell, _array(output)),
        tuple(_array(each) for each in of_inputs),
        {name: _array(each) for name, each in zip(weights, of_weights, strict=True)},
    )


def _first(output: Any) -> Any:
    """Returns the first tensor of a cell's output; None if there is none."""
    if isinstance(output, (tuple, list)):
        return next((each for each in output if isinstance(each, Tensor)), None)
    return output if isinstance(output, Tensor) else None


def _distinct(inputs: tuple[Any, ...]) -> list[Tensor]:
    """Returns the tensors of a call's arguments, each once, as attention gets one three times."""
    return list({id(each): each for each in inputs if isinstance(each, Tensor)}.values())


def _array(tensor: Tensor) -> Array:
    return np.array(tensor.asnumpy(), np.float32)


def _view(tensor: Tensor) -> Array:
    """Returns what may be the tensor's own memory."""
    return np.asarray(tensor.asnumpy(), np.float32)


def _canonical(cell: nn.Cell, array: Array) -> Array:
    """Returns an output of a cell, or its gradient, in the shape that PyTorch's layer has."""
    while isinstance(cell, nn.SequentialCell) and len(cell):
        cell = cell[-1]
    return array[:, :, None, None] if isinstance(cell, GlobalMean) and array.ndim == 2 else array
