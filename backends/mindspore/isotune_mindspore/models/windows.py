"""Biases of attention within windows of an image, one for each relative position."""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from isotune.catalogue.windows import relative_positions


class PositionBias(nn.Cell):
    """Looks up the biases of all pairs of places in a table."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.places = size * size
        self.rows = Tensor(relative_positions(size).reshape(-1), ms.int32)
        self.gather = ops.Gather()
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()

    def construct(self, table: Parameter) -> Tensor:
        """Returns (1, heads, places, places) of a table ((2 size - 1)**2, heads)."""
        biases = self.gather(table, self.rows, 0)
        biases = self.reshape(biases, (1, self.places, self.places, table.shape[1]))
        return self.transpose(biases, (0, 3, 1, 2))
