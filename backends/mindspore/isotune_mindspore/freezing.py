"""Freezing: which parameters take gradients, and what frozen BatchNorm layers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mindspore import Tensor, nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan, Freezing
from isotune_mindspore.cells import modes_kept
from isotune_mindspore.dropout import Dropout
from isotune_mindspore.names import BATCH_NORMS, trainable_tensors
from isotune_mindspore.step import pynative_mode


class MindSporeFreezing(Freezing):
    """A compiled graph keeps the flags it was compiled with: the trainer compiles a new one."""

    def apply(self, model: nn.Cell, plan: FreezePlan) -> None:
        """Sets ``requires_grad`` of all parameters.

        Raises:
            BackendError: the plan names a parameter that the model does not have.
        """
        parameters = trainable_tensors(model)
        if unknown := sorted(plan.frozen - parameters.keys()):
            raise BackendError(
                f"cannot freeze '{unknown[0]}': {type(model).__name__} has no such parameter."
                f"{nearest(unknown[0], parameters)}"
            )
        for name, parameter in parameters.items():
            parameter.requires_grad = name not in plan.frozen

    def training_mode(self, model: nn.Cell, plan: FreezePlan) -> None:
        """Calls ``set_train()``, then ``set_train(False)`` on the layers that the plan freezes.

        Holds for a graph that is compiled next, with `model` inside another cell: each layer's
        own flag is what the compiler reads, and only the outermost cell's flag decides whether
        it compiles anew.
        """
        model.set_train(True)
        if plan.batch_norm == "train":
            return
        parameters = list(trainable_tensors(model))
        for path, cell in model.cells_and_names():
            if isinstance(cell, BATCH_NORMS):
                cell.set_train(plan.trains_batch_norm(path, parameters))
            elif isinstance(cell, Dropout) and not plan.drops(path, parameters):
                cell.set_train(False)

    def values_per_channel(self, model: nn.Cell, batch: DeviceBatch) -> dict[str, int]:
        """Returns how many values of a channel each BatchNorm layer gets from one image.

        Found by a forward pass, in which BatchNorm and dropout are in evaluation mode; in PyNative
        mode, since a compiled graph runs no hooks.
        """
        found: dict[str, int] = {}

        def observer(path: str) -> Callable[[nn.Cell, tuple[Tensor, ...]], None]:
            def observe(cell: nn.Cell, inputs: tuple[Tensor, ...]) -> None:
                values = inputs[0].size // inputs[0].shape[1]
                found[path] = min(found.get(path, values), values)

            return observe

        handles: list[Any] = []
        with modes_kept(model), pynative_mode():
            model.set_train(True)
            for path, cell in model.cells_and_names():
                if isinstance(cell, BATCH_NORMS):
                    handles.append(cell.register_forward_pre_hook(observer(path)))
                if isinstance(cell, (*BATCH_NORMS, Dropout)):
                    cell.set_train(False)
            try:
                model(batch.images)
            finally:
                for handle in handles:
                    handle.remove()
        return found
