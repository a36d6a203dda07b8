"""Watches training steps by hooks, which neither change nor keep what they see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isotune.interfaces.tracer import Recorder
from isotune_torch.calls import Call, distinct, tensors
from isotune_torch.trainer import TorchTrainer

Array = NDArray[np.float32]


def to_host(tensor: Tensor, scale: float = 1.0) -> Array:
    """Returns a tensor divided by `scale`: float32 and read-only, perhaps its own memory.

    Its order in memory stays: another one would cost more than all sums over the elements.
    """
    values = tensor.detach().to("cpu", torch.float32)
    array: Array = (values if scale == 1 else values / scale).numpy()
    array.flags.writeable = False
    return array


class Watch:
    """Reports a trainer's steps to a recorder, while it is entered.

    A module may be called outside of a step's forward pass: when one image is run to count its
    values, in evaluation, or again in the backward pass by ``torch.utils.checkpoint``. Such calls
    are not reported.

    Args:
        trainer: The trainer.
        recorder: Takes what the steps compute.
        known: Gets how each module is called first, by path.
    """

    def __init__(
        self, trainer: TorchTrainer, recorder: Recorder, known: MutableMapping[str, Call]
    ) -> None:
        self._trainer, self._recorder, self._known = trainer, recorder, known
        self._scale = 1.0
        self._forward = False
        self._calls: Counter[str] = Counter()
        self._entered: list[_Entered] = []
        self._outputs: dict[tuple[Any, int], list[tuple[str, int]]] = {}
        self._hooks = ExitStack()

    def __enter__(self) -> None:
        """Puts hooks on the modules and on the parameters that train."""
        with ExitStack() as hooks:
            for path, module in self._trainer.model.named_modules():
                for handle in self._on_module(path, module):
                    hooks.callback(handle.remove)
            for name, parameter in self._trainer.trainable.items():
                hooks.callback(self._on_parameter(name, parameter))
            self._hooks = hooks.pop_all()

    def __exit__(self, *_: object) -> None:
        """Takes them off again."""
        self._outputs.clear()
        self._entered.clear()
        self._hooks.close()

    def _on_module(self, path: str, module: nn.Module) -> tuple[Any, Any]:
        def before(module: nn.Module, arguments: Any, named: Any) -> None:
            if not path:
                self._start()
            if self._forward:
                if not self._calls[path]:
                    self._known[path] = Call(arguments, named)
                self._entered.append(_Entered(path, (arguments, named), self._reports(path)))

        def after(module: nn.Module, arguments: Any, output: Any) -> None:
            if self._forward:
                self._returned(path, output)
            if not path:
                self._forward = False

        return (
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after),
        )

    def _on_parameter(self, name: str, parameter: nn.Parameter) -> Callable[[], None]:
        """Returns what takes the hook off."""
        plain = parameter._backward_hooks is None
        handle = parameter.register_hook(
            lambda gradient: self._recorder.gradient(name, to_host(gradient, self._scale))
        )

        def remove() -> None:
            handle.remove()
            if plain:
                parameter._backward_hooks = None  # it would stay, empty

        return remove

    def _start(self) -> None:
        """Starts a pass through the model, which is a step's if gradients are computed."""
        self._forward = torch.is_grad_enabled()
        if self._forward:
            self._scale = self._trainer.precision_policy.scaler.get_scale()
            self._calls.clear()
            self._entered.clear()
            self._outputs.clear()

    def _reports(self, path: str) -> bool:
        return self._recorder.inputs or not path

    def _returned(self, path: str, output: Any) -> None:
        """Reports a module's output, and its gradient when there is one."""
        call = self._entered.pop()
        while call.path != path:  # a call that has raised an error, which the model has caught
            call = self._entered.pop()
        first = next(tensors(output), None)
        if first is None:
            return
        number = self._calls[path]
        self._calls[path] += 1
        self._recorder.forward(path, call.inputs, to_host(first))
        node = _node(first)
        # The gradient of a tensor that is merely passed on is that of all its uses.
        if node is not None and node not in call.nodes:
            self._await_gradient(node, first, path, number)

    def _await_gradient(
        self, node: tuple[Any, int], output: Tensor, path: str, number: int
    ) -> None:
        """Reports the gradient of an output once it is known.

        Where modules return what one within them has returned, the outermost comes first.
        """
        names = self._outputs.setdefault(node, [])
        names.append((path, number))
        if len(names) > 1:
            return

        def report(gradient: Tensor) -> None:
            array = to_host(gradient, self._scale)
            for path, number in reversed(names):
                self._recorder.backward(path, number, array)

        output.register_hook(report)


class _Entered:
    """A call of a module that has not returned.

    Attributes:
        path: The module's path.
        inputs: Copies of its inputs, which it may change; empty if they are not reported.
        nodes: What has computed its inputs.
    """

    def __init__(self, path: str, arguments: Any, reports: bool) -> None:
        self.path = path
        inputs = distinct(arguments)
        self.inputs = [to_host(tensor.detach().clone()) for tensor in inputs] if reports else []
        self.nodes = {_node(tensor) for tensor in inputs}


def _node(tensor: Tensor) -> tuple[Any, int] | None:
    """Returns what has computed a tensor's present values, and as which of its outputs.

    None where no gradient goes through it.
    """
    return None if tensor.grad_fn is None else (tensor.grad_fn, tensor.output_nr)
