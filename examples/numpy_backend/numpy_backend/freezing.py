"""Freezing: the trainer leaves frozen parameters alone; layers have a mode each."""

from __future__ import annotations

from isotune.errors import BackendError, nearest
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan, Freezing
from numpy_backend.backbone import Net
from numpy_backend.layers import BatchNorm, Dropout


class NumpyFreezing(Freezing):
    """There is nothing to tell the parameters: the trainer keeps the plan."""

    def apply(self, model: Net, plan: FreezePlan) -> None:
        known = model.parameters()
        for name in sorted(plan.frozen - known.keys()):
            hint = nearest(name, known)
            raise BackendError(f"cannot freeze '{name}': the model has no such parameter.{hint}")

    def training_mode(self, model: Net, plan: FreezePlan) -> None:
        parameters = list(model.parameters())
        for path, layer in model.layers.items():
            layer.training = True
            if isinstance(layer, BatchNorm):
                layer.training = plan.trains_batch_norm(path, parameters)
            elif isinstance(layer, Dropout):
                layer.training = plan.drops(path, parameters)

    def values_per_channel(self, model: Net, batch: DeviceBatch) -> dict[str, int]:
        found, x = {}, batch.images
        for path, layer in model.layers.items():
            layer.training = False
            if isinstance(layer, BatchNorm):
                found[path] = x[0, 0].size
            x = layer.forward(x)
        return found
