"""BatchNorm whose batch statistics are those of all processes that compute a shard.

MindSpore's own, ``nn.SyncBatchNorm``, is for Ascend NPUs only, and synchronizes all processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn, ops


class SharedBatchNorm(nn.BatchNorm2d):
    """Takes the place of a BatchNorm layer, whose parameters it uses.

    Args:
        layer: A BatchNorm layer for inputs of any number of axes.
        statistics: Those of all processes of the shard.
    """

    def __init__(self, layer: nn.Cell, statistics: CombinedStatistics) -> None:
        super().__init__(layer.num_features, eps=layer.eps, momentum=1 - layer.momentum)
        self.gamma, self.beta = layer.gamma, layer.beta
        self.moving_mean, self.moving_variance = layer.moving_mean, layer.moving_variance
        self.statistics = statistics
        self.rsqrt, self.stop_gradient = ops.Rsqrt(), ops.stop_gradient
        self.assign_add = ops.AssignAdd()

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x`, shape (N, channels, ...), normalized."""
        flat = x.reshape(x.shape[0], x.shape[1], -1, 1)
        if not self.training:
            y = x if x.ndim == 4 else flat
            moving = (self.moving_mean, self.moving_variance)
            return self.bn_infer(y, self.gamma, self.beta, *moving)[0].reshape(x.shape)
        mean, squares, count = self.statistics(flat)
        scale = self.rsqrt(squares / ops.maximum(count, 1.0) + self.eps) * self.gamma
        y = (flat - mean.reshape(1, -1, 1, 1)) * scale.reshape(1, -1, 1, 1)
        self.move(self.moving_mean, mean)
        self.move(self.moving_variance, squares / ops.maximum(count - 1.0, 1.0))
        return (y + self.beta.reshape(1, -1, 1, 1)).reshape(x.shape)

    def move(self, moving: Parameter, value: Tensor) -> None:
        """Moves a running statistic towards a batch's."""
        self.assign_add(moving, (self.stop_gradient(value) - moving) * self.momentum)


class CombinedStatistics(nn.Cell):
    """Mean and sum of squared deviations over all images of a shard.

    Each process fills its row of an array with those of its own images, and an all-reduce brings
    all rows together. Every process of the shard combines them in the same order (Chan, Golub and
    LeVeque, 1979, "Updating formulae and a pairwise algorithm for computing sample variances").
    The gradient of the all-reduce is an all-reduce, so that it reaches the images of the others.

    Args:
        rows: Number of processes.
        own: Those of this process's shard.
        row: This process.
        images: float32, shape (processes of the shard, 1): number of images of each. A process
            without any computes one that counts nowhere.
    """

    def __init__(self, rows: int, own: Sequence[int], row: int, images: Parameter) -> None:
        super().__init__()
        self.rows, self.first, self.count = rows, own[0], len(own)
        place = np.zeros((rows, 1), np.float32)
        place[row] = 1
        self.place = Tensor(place)
        self.images = images
        self.mean, self.sum = ops.ReduceMean(), ops.ReduceSum()
        self.square, self.concat = ops.Square(), ops.Concat()
        self.all_reduce, self.slice = ops.AllReduce(), ops.Slice()

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns mean and sum of squares, shape (channels,), and the number of values (1,).

        Of a shard without images, all are 0.
        """
        _, channels, values, _ = x.shape
        mean = self.mean(x, (0, 2, 3))
        squares = self.sum(self.square(x - mean.reshape(1, -1, 1, 1)), (0, 2, 3))
        rows = self.all_reduce(self.place * self.concat((mean, squares)).reshape(1, -1))
        means = self.slice(rows, (self.first, 0), (self.count, channels))
        sums = self.slice(rows, (self.first, channels), (self.count, channels))
        images = self.sum(self.images, 0)
        shares = self.images / ops.maximum(images, 1.0)
        overall = self.sum(means * shares, 0)
        between = self.square(means - overall.reshape(1, -1)) * self.images * values
        within = sums * ops.minimum(self.images, 1.0)
        return overall, self.sum(within + between, 0), images * values
