"""Running statistics of BatchNorm layers, when a batch is divided into shards."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from isotune.interfaces.communicator import Communicator
from isotune.interfaces.division import Division, Part
from isotune_torch.communicator import TorchCommunicator, lost_processes


class RunningStatistics:
    """Means and variances of the layers that train, from batch to batch.

    Each shard starts from those before its batch. After the batch they are the mean of what the
    shards have made of them.

    Args:
        model: In training mode.
        division: Which parts are this process's.
        communicator: Reaches the other processes.
    """

    def __init__(self, model: nn.Module, division: Division, communicator: Communicator) -> None:
        self._division, self._communicator = division, communicator
        layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
        self._tensors: list[Tensor] = [
            tensor
            for layer in layers
            for tensor in (layer.running_mean, layer.running_var)
            if tensor is not None
        ]
        self._counts = [c for m in layers if (c := m.num_batches_tracked) is not None]
        self._before: list[Tensor] = []
        self._rows: Tensor | None = None
        if self._tensors:
            length = sum(tensor.numel() for tensor in self._tensors)
            shape = len(division.own), length
            self._rows = torch.zeros(shape, device=self._tensors[0].device)

    @torch.no_grad()
    def begin(self, part: Part) -> None:
        """Sets the statistics to those before the batch."""
        if self._rows is None:
            return
        if part.index == self._division.own[0]:
            self._before = [tensor.clone() for tensor in (*self._tensors, *self._counts)]
        else:
            torch._foreach_copy_([*self._tensors, *self._counts], self._before)

    @torch.no_grad()
    def end(self, part: Part) -> None:
        """Keeps what a part has made of the statistics; after the last one, sets the mean.

        Raises:
            LostProcessError: Another process has ended, or is not reached.
        """
        if self._rows is None:
            return
        own = part.index - self._division.own[0]
        torch.cat([tensor.reshape(-1) for tensor in self._tensors], out=self._rows[own])
        if part.last:
            self._set(self._mean(part.sizes))
            torch._foreach_copy_(self._counts, self._before[len(self._tensors) :])
            torch._foreach_add_(self._counts, 1)

    def _mean(self, sizes: tuple[int, ...]) -> Tensor:
        """Returns the mean over the shards that have images, added in their order.

        Processes that share a shard have made the same of it.
        """
        assert self._rows is not None
        rows = self._rows
        if isinstance(self._communicator, TorchCommunicator):
            everyone = rows.new_empty(self._division.parts, rows.shape[1])
            with lost_processes():
                group = self._communicator.devices
                distributed.all_gather_into_tensor(everyone, rows, group=group)
            rows = everyone
        total, shards = torch.zeros_like(rows[0]), 0
        for shard, images in enumerate(self._division.shard_sizes(sizes)):
            if images:
                total += rows[shard * self._division.shard_parts]
                shards += 1
        return total / shards

    def _set(self, values: Tensor) -> None:
        pieces = values.split([tensor.numel() for tensor in self._tensors])
        for tensor, piece in zip(self._tensors, pieces, strict=True):
            tensor.copy_(piece.view_as(tensor))
