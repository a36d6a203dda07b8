"""Freezing: which parameters take gradients, and what frozen BatchNorm layers do."""

from __future__ import annotations

from mindspore import nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.freezing import FreezePlan, Freezing
from isotune_mindspore.dropout import Dropout
from isotune_mindspore.names import AFFINE, BATCH_NORMS, join, trainable_tensors


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
                names = {join(path, name) for name in AFFINE.values()}
                if names <= plan.frozen:
                    cell.set_train(False)
            elif isinstance(cell, Dropout) and not plan.drops(path, parameters):
                cell.set_train(False)
