"""Running statistics of BatchNorm in divided batches: the mean over what shards make of them."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Tensor, nn, ops

from isotune.interfaces.division import Division, Part
from isotune.interfaces.freezing import FreezePlan
from isotune_mindspore.communicator import peers_needed
from isotune_mindspore.names import BATCH_NORMS, trainable_tensors
from isotune_mindspore.step import Compiled
from isotune_mindspore.vectors import SetAll


class RunningStatistics:
    """The running statistics of the layers that use batch statistics.

    Each shard starts from the statistics before the batch; after the batch they are the mean, in
    the order of the shards, over those with images.

    Args:
        model: The model, some of whose layers train under `plan`.
        plan: What is frozen.
        division: How a batch is divided.
    """

    def __init__(self, model: nn.Cell, plan: FreezePlan, division: Division) -> None:
        names = list(trainable_tensors(model))
        self._parameters = [
            parameter
            for path, cell in model.cells_and_names()
            if isinstance(cell, BATCH_NORMS) and plan.trains_batch_norm(path, names)
            for parameter in (cell.moving_mean, cell.moving_variance)
        ]
        # One by one, in PyNative mode, they take ten times as long.
        self._set = Compiled(SetAll(self._parameters), lambda: None)
        self._division = division
        self._concat, self._stack = ops.Concat(), ops.Stack()
        self._all_gather = ops.AllGather() if division.processes > 1 else ops.Identity()
        self._before: Tensor | None = None
        self._made: list[Tensor] = []

    def restart(self) -> None:
        """Drops what parts of a batch have made of them."""
        self._before, self._made = None, []

    def begin(self) -> None:
        """Takes the present statistics for those before the batch, ahead of its first part."""
        if self._parameters and self._before is None:
            self._before = self._concat(self._parameters)

    def end_part(self, part: Part) -> None:
        """Notes what a part has made of them; after the last one, sets their mean over shards."""
        if self._before is None:
            return
        self._made.append(self._concat(self._parameters))
        if part.last:
            self._set(self._mean(part.sizes))
            self.restart()
        elif len(part):
            self._set(self._before)

    def _mean(self, sizes: Sequence[int]) -> Tensor:
        """Returns the mean over the shards of a batch whose parts have these sizes."""
        with peers_needed():
            rows = self._all_gather(self._stack(self._made))
        total, count = ops.zeros_like(rows[0]), 0
        for shard, images in enumerate(self._division.shard_sizes(sizes)):
            if images:
                total, count = total + rows[shard * self._division.shard_parts], count + 1
        return total / count
