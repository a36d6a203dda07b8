"""Training steps on the parts of divided batches, and the updates by all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mindspore import Parameter, Tensor, ops

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.division import Division, Part
from isotune.interfaces.trainer import Outputs, StepPlan
from isotune_mindspore.arrays import set_to_zero
from isotune_mindspore.communicator import peers_needed
from isotune_mindspore.shared_shards import SharedShard
from isotune_mindspore.statistics import RunningStatistics
from isotune_mindspore.step import Compiled


def gradients_for(parameters: Sequence[Parameter], division: Division) -> list[Parameter]:
    """Returns a vector of zeros for each of the process's parts, as long as all parameters."""
    length = sum(parameter.size for parameter in parameters)
    return [
        Parameter(Tensor(np.zeros(length, np.float32)), f"part/{part}", requires_grad=False)
        for part in division.own
    ]


class PartSteps:
    """Steps on this process's parts of a batch, one after the other.

    Args:
        division: How a batch is divided.
        gradients: Sums of gradients, one for each of the process's parts.
        train: Computes loss, logits and gradients of a part.
        update: Updates by the sums of all processes, which it sets to zero.
        statistics: Running statistics of the layers that train.
        shard: What layers know of a shard that several processes compute; None for whole shards.
    """

    def __init__(
        self,
        division: Division,
        gradients: Sequence[Parameter],
        train: Compiled,
        update: Compiled,
        statistics: RunningStatistics,
        shard: SharedShard | None,
    ) -> None:
        self._division = division
        self._gradients = gradients
        self._train, self._update = train, update
        self._statistics = statistics
        self._shard = shard
        self._assign_add = ops.AssignAdd()
        self._nothing = Tensor(np.zeros((1, 1), np.float32))

    def restart(self) -> None:
        """Drops what is known of parts that no update has used."""
        set_to_zero(self._gradients)
        self._statistics.restart()

    def step(
        self, batch: DeviceBatch, plan: StepPlan, part: Part, seeds: Tensor, scalars: Tensor
    ) -> Outputs:
        """Computes a part; after the last one of a batch, the processes tell each other.

        Args:
            batch: The part's images.
            plan: The step.
            part: Its part.
            seeds: Those of the dropout layers.
            scalars: Those of an update.
        """
        self._statistics.begin()
        outputs = Outputs(self._nothing)
        if self._shard is not None:
            self._shard.enter(part)
        if len(part) or self._shard is not None:
            outputs = self._compute(batch, plan.loss_scale, part, seeds)
        self._statistics.end_part(part)
        if not plan.apply_update:
            return outputs
        with peers_needed():
            norm = self._update(scalars)
        clips = norm.ndim == 0
        return Outputs(outputs.logits, outputs.loss, norm if clips else None)

    def _compute(self, batch: DeviceBatch, scale: float, part: Part, seeds: Tensor) -> Outputs:
        factor = Tensor(np.float32(scale))
        with peers_needed():
            loss, logits, gradients = self._train(batch.images, batch.labels, factor, seeds)
        self._assign_add(self._gradients[part.index - self._division.own[0]], gradients)
        return Outputs(logits, loss)
