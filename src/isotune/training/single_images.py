"""Training steps on one image, of which a BatchNorm layer may get one value per channel.

The unbiased variance of one value is 0 / 0. PyTorch refuses it; MindSpore (2.10, on CPUs) writes
infinity into the running variance and trains on. Here every backend refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isotune.errors import TrainingError
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan, Freezing


def starved_layer(
    values: Mapping[str, int], plan: FreezePlan, parameters: Iterable[str]
) -> str | None:
    """Returns the first BatchNorm layer in training mode that gets one value per channel, or None.

    Args:
        values: What :meth:`Freezing.values_per_channel` returned.
        plan: What is frozen.
        parameters: Canonical names of the model's parameters.
    """
    names = tuple(parameters)
    starved = (path for path, count in values.items() if count == 1)
    return next((path for path in starved if plan.trains_batch_norm(path, names)), None)


def check_single_image(
    freezing: Freezing, model: Any, plan: FreezePlan, batch: DeviceBatch, parameters: Iterable[str]
) -> None:
    """Checks a training step on one image; a backend calls it before the step.

    Args:
        freezing: The backend's.
        model: Native; it does not change.
        plan: What is frozen.
        batch: One image on the device.
        parameters: Canonical names of the model's parameters.

    Raises:
        TrainingError: A BatchNorm layer in training mode gets one value per channel.
    """
    layer = starved_layer(freezing.values_per_channel(model, batch), plan, parameters)
    if layer is not None:
        raise TrainingError(
            "a training batch, or a shard of it, has one image, of which BatchNorm layer"
            f" '{layer}' gets one value per channel and cannot compute a variance: train on larger"
            " batches or images, or in fewer shards."
        )
