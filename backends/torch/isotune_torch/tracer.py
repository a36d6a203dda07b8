"""Tracer: layers by their modules, steps by hooks, single layers by calls of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.tracer import Array, Layer, LayerRun, Recorder, Tracer
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune_torch.arrays import to_array, to_tensor
from isotune_torch.layers import layers
from isotune_torch.trainer import TorchTrainer, own
from isotune_torch.watching import Watch, tensors


class TorchTracer(Tracer):
    """Paths are those of ``named_modules``, whose parameters have the canonical names."""

    def layers(self, trainer: Trainer) -> list[Layer]:
        """Returns the parts of the trainer's model, in the order of its definition."""
        return layers(own(trainer).model)

    @contextmanager
    def watch(self, trainer: Trainer, recorder: Recorder) -> Iterator[bool]:
        """Reports to `recorder` what the trainer's steps within the context compute.

        A compiled model, in whose graphs there are no modules, runs without being compiled.
        """
        mine = own(trainer)
        with Watch(mine, recorder):
            if mine.compiled is None:
                yield True
            else:
                with mine.compiled.paused():
                    yield False

    def run(
        self,
        trainer: Trainer,
        path: str,
        inputs: Sequence[Array],
        gradient: Array | None,
        plan: StepPlan,
    ) -> LayerRun:
        """Runs one module on given inputs as a training step would.

        Raises:
            BackendError: There is no such module, or it does not take such inputs.
        """
        mine = own(trainer)
        modules = dict(mine.model.named_modules())
        if path not in modules:
            name = type(mine.model).__name__
            raise BackendError(f"{name} has no layer '{path}'.{nearest(path, modules)}")
        mine.be_ready_to_train()
        with _unchanged_buffers(modules[path]):
            return _run(mine, path, modules[path], inputs, gradient, plan)

    def nudged(self, batch: DeviceBatch, up: NDArray[np.bool_]) -> DeviceBatch:
        """Returns the batch with every number moved to a neighboring float32."""
        images: Tensor = batch.images
        on_host = images.cpu()
        limits = torch.where(to_tensor(up), torch.inf, -torch.inf)
        moved = torch.empty_like(images).copy_(torch.nextafter(on_host, limits))
        return DeviceBatch(moved, batch.labels, batch.size)


def _run(
    trainer: TorchTrainer,
    path: str,
    module: nn.Module,
    inputs: Sequence[Array],
    gradient: Array | None,
    plan: StepPlan,
) -> LayerRun:
    policy, learns = trainer.precision_policy, gradient is not None
    given = [_input(trainer, values).requires_grad_(learns) for values in inputs]
    with trainer.cores, policy.step(), torch.set_grad_enabled(learns):
        with trainer.masks(plan), policy.forward():
            try:
                # Copies, since a module may work in place.
                output = next(tensors(module(*(tensor.clone() for tensor in given))), None)
            except (TypeError, ValueError, RuntimeError) as error:
                shapes = ", ".join(str(values.shape) for values in inputs)
                raise BackendError(
                    f"layer '{path}' does not take inputs of shapes {shapes}:"
                    f" {' '.join(str(error).split())[:300]}"
                ) from error
        if output is None:
            raise BackendError(f"layer '{path}' has no output of floating-point numbers.")
        result = to_array(output.float())
        if gradient is None:
            return LayerRun(result)
        prefix = f"{path}." if path else ""
        names = {f"{prefix}{name}": p for name, p in module.named_parameters() if p.requires_grad}
        return _with_gradients(trainer, result, output, given, names, gradient)


def _with_gradients(
    trainer: TorchTrainer,
    result: Array,
    output: Tensor,
    inputs: Sequence[Tensor],
    parameters: dict[str, nn.Parameter],
    gradient: Array,
) -> LayerRun:
    """Differentiates by the inputs and parameters, in float16 with the scale of a step."""
    scale = trainer.precision_policy.scaler.get_scale()
    scaled = (to_tensor(gradient).to(output.device) * scale).to(output.dtype)
    found = torch.autograd.grad(output, [*inputs, *parameters.values()], scaled, allow_unused=True)
    arrays = [None if each is None else to_array(each.float() / scale) for each in found]
    of_inputs, of_parameters = arrays[: len(inputs)], arrays[len(inputs) :]
    named = zip(parameters, of_parameters, strict=True)
    return LayerRun(
        result, tuple(of_inputs), {name: each for name, each in named if each is not None}
    )


def _input(trainer: TorchTrainer, values: Array) -> Tensor:
    device = next(trainer.model.parameters()).device
    tensor = to_tensor(np.array(values, np.float32)).to(device)
    return tensor.contiguous(memory_format=trainer.memory_format) if tensor.dim() == 4 else tensor


@contextmanager
def _unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Context after which a module's buffers, such as running statistics, are what they were."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, values in before:
                buffer.copy_(values)
