"""Runs a module by itself as the training step of a model does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from isotune.errors import BackendError
from isotune.interfaces.tracer import Array, LayerRun
from isotune.interfaces.trainer import StepPlan
from isotune_torch.arrays import to_array, to_tensor
from isotune_torch.calls import Call, tensors
from isotune_torch.trainer import TorchTrainer

REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, AssertionError)
"""What modules raise that get inputs of other numbers or shapes than they take."""


class SingleRun:
    """Runs of one module on inputs from elsewhere.

    Args:
        trainer: The trainer of the model, whose modules are in their modes for training.
        path: The module's path.
        module: The module.
        call: How the model calls it, if that is known.
        plan: The step.
    """

    def __init__(
        self, trainer: TorchTrainer, path: str, module: nn.Module, call: Call | None, plan: StepPlan
    ) -> None:
        self._trainer, self._path, self._module = trainer, path, module
        self._call, self._plan = call, plan
        self._device = next(trainer.model.parameters()).device

    def of(self, inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        """Returns the output for `inputs`, and gradients unless `gradient` is None.

        Raises:
            BackendError: The module does not take such inputs, or returns no numbers.
        """
        learns = gradient is not None
        given = [to_tensor(each).to(self._device).requires_grad_(learns) for each in inputs]
        with (
            unchanged(self._module, self._device),
            self._trainer.cores,
            self._trainer.precision_policy.step(),
            torch.set_grad_enabled(learns),
        ):
            output = self._output(given)
            result = to_array(output.float())
            if gradient is None:
                return LayerRun(result)
            return self._with_gradients(result, output, given, gradient)

    def _output(self, inputs: Sequence[Tensor]) -> Tensor:
        call = self._call or Call(tuple(inputs), {})
        with self._trainer.as_in_a_step(self._plan):
            try:
                arguments, named = call.again(inputs)
                output = next(tensors(self._module(*arguments, **named)), None)
            except REFUSALS as error:
                shapes = ", ".join(str(tuple(each.shape)) for each in inputs)
                raise BackendError(
                    f"layer '{self._path}' does not take inputs of shapes {shapes}:"
                    f" {' '.join(str(error).split())[:300]}"
                ) from error
        if output is None:
            raise BackendError(f"layer '{self._path}' has no output of floating-point numbers.")
        return output

    def _with_gradients(
        self, result: Array, output: Tensor, inputs: Sequence[Tensor], gradient: Array
    ) -> LayerRun:
        """Differentiates by the inputs and parameters, in float16 with the scale of a step."""
        prefix = f"{self._path}." if self._path else ""
        own = self._module.named_parameters()
        parameters = {f"{prefix}{name}": each for name, each in own if each.requires_grad}
        by = [*inputs, *parameters.values()]
        if not output.requires_grad:
            return LayerRun(result, (None,) * len(inputs))
        scale = self._trainer.precision_policy.scaler.get_scale()
        if gradient.shape != output.shape:
            raise BackendError(
                f"layer '{self._path}' has an output of shape {tuple(output.shape)}, whose gradient"
                f" cannot have shape {gradient.shape}."
            )
        slope = torch.empty_like(output).copy_(to_tensor(gradient) * scale)
        found = torch.autograd.grad(output, by, slope, allow_unused=True)
        arrays = [None if each is None else to_array(each.float() / scale) for each in found]
        named = zip(parameters, arrays[len(inputs) :], strict=True)
        return LayerRun(
            result,
            tuple(arrays[: len(inputs)]),
            {name: each for name, each in named if each is not None},
        )


@contextmanager
def unchanged(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Context after which a module's buffers and PyTorch's random states are what they were.

    Buffers are running statistics, among others.
    """
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, values in before:
                    buffer.copy_(values)
