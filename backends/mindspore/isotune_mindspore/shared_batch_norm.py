"""BatchNorm whose batch statistics are those of all processes that compute a shard.

MindSpore's own, ``nn.SyncBatchNorm``, is for Ascend NPUs only, and synchronizes all processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

OTHERS = (0, 2, 3)
"""All axes except that of the channels."""


class SharedBatchNorm(nn.BatchNorm2d):
    """Takes the place of a BatchNorm layer, whose parameters it uses.

    Args:
        layer: A BatchNorm layer for inputs of any number of axes.
        normalization: That of the shard's processes.
    """

    def __init__(self, layer: nn.Cell, normalization: SharedNormalization) -> None:
        super().__init__(layer.num_features, eps=layer.eps, momentum=1 - layer.momentum)
        self.gamma, self.beta = layer.gamma, layer.beta
        self.moving_mean, self.moving_variance = layer.moving_mean, layer.moving_variance
        self.normalization = normalization
        self.assign_add = ops.AssignAdd()

    def construct(self, x: Tensor) -> Tensor:
        """Returns `x`, shape (N, channels, ...), normalized."""
        maps = x if x.ndim == 4 else x.reshape(x.shape[0], x.shape[1], -1, 1)
        if not self.training:
            moving = (self.moving_mean, self.moving_variance)
            return self.bn_infer(maps, self.gamma, self.beta, *moving)[0].reshape(x.shape)
        images = self.normalization.images
        y, mean, variance = self.normalization(maps, self.gamma, self.beta, images)
        self.move(self.moving_mean, mean)
        self.move(self.moving_variance, variance)
        return y.reshape(x.shape)

    def move(self, moving: Parameter, value: Tensor) -> None:
        """Moves a running statistic towards a batch's."""
        self.assign_add(moving, self.momentum * (ops.stop_gradient(value) - moving))


class SharedNormalization(nn.Cell):
    """Normalizes images by the statistics of all images of their shard.

    Each process fills its row of an array with mean and sum of squared deviations of its own
    images, and an all-reduce brings all rows together. Every process of the shard combines them in
    the same order (Chan, Golub and LeVeque, 1979, "Updating formulae and a pairwise algorithm for
    computing sample variances"). The backward pass does so with the sums that its formula needs
    (Ioffe and Szegedy, 2015, section 3): written out, it compiles in a third of the time.

    Args:
        rows: Number of processes.
        own: Those of this process's shard.
        row: This process.
        images: float32, shape (processes of the shard, 1): number of images of each. A process
            without any computes one that counts nowhere.
        layer: The BatchNorm layer that it is for.
    """

    def __init__(
        self,
        rows: int,
        own: Sequence[int],
        row: int,
        images: Parameter,
        layer: nn.Cell,
    ) -> None:
        super().__init__()
        self.channels = layer.num_features
        self.first, self.count, self.index = own[0], len(own), row - own[0]
        place = np.zeros((rows, 1), np.float32)
        place[row] = 1
        self.place = Tensor(place)
        self.images = images
        self.eps, self.one = Tensor(layer.eps, ms.float32), Tensor(1.0, ms.float32)
        self.mean, self.sum, self.concat = ops.ReduceMean(), ops.ReduceSum(), ops.Concat()
        self.add, self.sub, self.mul, self.div = ops.Add(), ops.Sub(), ops.Mul(), ops.RealDiv()
        self.square, self.rsqrt, self.zeros_like = ops.Square(), ops.Rsqrt(), ops.ZerosLike()
        self.minimum, self.maximum = ops.Minimum(), ops.Maximum()
        self.all_reduce, self.shape = ops.AllReduce(), ops.Shape()
        self.reshape, self.slice = ops.Reshape(), ops.Slice()

    def construct(
        self, x: Tensor, gamma: Tensor, beta: Tensor, images: Tensor
    ) -> tuple[Tensor, ...]:
        """Returns the normalized images, their shard's mean and its unbiased variance.

        Args:
            x: float32, shape (N, channels, height, width).
            gamma: float32, shape (channels,): the scale.
            beta: float32, shape (channels,): the shift.
            images: :attr:`images`, since a backward pass of one's own reads no parameter.
        """
        mean = self.mean(x, OTHERS)
        squares = self.sum(self.square(self.sub(x, self.spread(mean))), OTHERS)
        means, sums = self.rows(mean, squares)
        total = self.sum(images, 0)
        shares = self.div(images, self.maximum(total, self.one))
        mean = self.sum(self.mul(means, shares), 0)
        weights = self.mul(images, self.values(x))
        between = self.mul(self.square(self.sub(means, mean)), weights)
        within = self.mul(sums, self.minimum(images, self.one))
        squares = self.sum(self.add(within, between), 0)
        count = self.mul(total, self.values(x))
        rate = self.rate(squares, count)
        scaled = self.mul(self.sub(x, self.spread(mean)), self.spread(self.mul(rate, gamma)))
        unbiased = self.div(squares, self.maximum(self.sub(count, self.one), self.one))
        return self.add(scaled, self.spread(beta)), mean, unbiased

    def bprop(
        self,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        images: Tensor,
        out: tuple[Tensor, ...],
        dout: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Returns the gradients of all inputs, given those of the outputs."""
        _, mean, unbiased = out
        slope = dout[0]
        count = self.mul(self.sum(images, 0), self.values(x))
        squares = self.mul(unbiased, self.maximum(self.sub(count, self.one), self.one))
        rate = self.rate(squares, count)
        normal = self.mul(self.sub(x, self.spread(mean)), self.spread(rate))
        shift, scale = self.sum(slope, OTHERS), self.sum(self.mul(slope, normal), OTHERS)
        shifts, scales = self.rows(shift, scale)
        share = self.div(self.one, self.maximum(count, self.one))
        mean_shift = self.spread(self.mul(self.sum(shifts, 0), share))
        mean_scale = self.spread(self.mul(self.sum(scales, 0), share))
        inner = self.sub(self.sub(slope, mean_shift), self.mul(normal, mean_scale))
        present = self.minimum(self.slice(images, (self.index, 0), (1, 1)), self.one)
        factor = self.mul(self.mul(rate, gamma), self.reshape(present, (1,)))
        return self.mul(inner, self.spread(factor)), scale, shift, self.zeros_like(images)

    def rows(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Returns two vectors of each process of the shard: (processes of the shard, channels)."""
        own = self.reshape(self.concat((first, second)), (1, -1))
        rows = self.all_reduce(self.mul(self.place, own))
        size = (self.count, self.channels)
        return (
            self.slice(rows, (self.first, 0), size),
            self.slice(rows, (self.first, self.channels), size),
        )

    def rate(self, squares: Tensor, count: Tensor) -> Tensor:
        """Returns one over the standard deviation: shape (channels,)."""
        variance = self.div(squares, self.maximum(count, self.one))
        return self.rsqrt(self.add(variance, self.eps))

    def values(self, x: Tensor) -> float:
        """Returns the number of values of a channel in one image."""
        _, _, height, width = self.shape(x)
        return float(height * width)

    def spread(self, vector: Tensor) -> Tensor:
        """Returns a vector as (1, channels, 1, 1)."""
        return self.reshape(vector, (1, -1, 1, 1))
