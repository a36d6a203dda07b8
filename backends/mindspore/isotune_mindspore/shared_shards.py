"""What several processes that compute one shard together do as one process would.

BatchNorm layers take their batch statistics of all images of the shard, and dropout counts
positions from the shard's first image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from isotune.interfaces.division import Division, Part
from isotune_mindspore.arrays import set_parameters
from isotune_mindspore.cells import replace
from isotune_mindspore.dropout import Dropout
from isotune_mindspore.shared_batch_norm import SharedBatchNorm, SharedNormalization

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d)
"""BatchNorm layers that take a process's own batch statistics."""


class SharedShard:
    """What layers need to know of a part's shard; the trainer sets it before each step.

    Attributes:
        images: float32, shape (processes of a shard, 1): number of images of each.
        first: int32, shape (1,): number of images of the shard before this process's.
    """

    def __init__(self, division: Division) -> None:
        count = division.shard_parts
        start = division.shard(division.rank) * count
        self.own = range(start, start + count)
        self.images = _parameter("images", np.zeros((count, 1), np.float32))
        self.first = _parameter("first", np.zeros(1, np.int32))

    def enter(self, part: Part) -> None:
        """Sets them for a part, which may be empty."""
        images = np.array([part.sizes[i] for i in self.own], np.float32)
        first = np.array([part.first], np.int32)
        set_parameters([(self.images, images[:, None]), (self.first, first)])


def share_layers(model: nn.Cell, division: Division) -> SharedShard:
    """Prepares the layers of a model for shards that several processes compute, in place."""
    shard = SharedShard(division)
    for path, cell in list(model.cells_and_names()):
        if isinstance(cell, Dropout):
            cell.first = shard.first
        elif isinstance(cell, PLAIN) and cell.use_batch_statistics is None:
            place = division.processes, shard.own, division.rank
            normalization = SharedNormalization(*place, shard.images, cell)
            replace(model, path, SharedBatchNorm(cell, normalization))
    return shard


def _parameter(name: str, value: np.ndarray[Any, Any]) -> Parameter:
    return Parameter(Tensor(value), name=name, requires_grad=False)
