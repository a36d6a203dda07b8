"""Biases of attention within windows of an image, one for each relative position."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from numpy.typing import NDArray


def relative_positions(size: int) -> NDArray[np.int32]:
    """Returns the row in a table of biases for each pair of places in a square window.

    Rows are numbered by ``(dy + size - 1) * (2 * size - 1) + dx + size - 1`` (Liu et al., "Swin
    Transformer", 2021, equation 4). Shape (size**4,), place of the query first.
    """
    y, x = np.divmod(np.arange(size * size), size)
    dy, dx = y[:, None] - y[None], x[:, None] - x[None]
    rows = (dy + size - 1) * (2 * size - 1) + dx + size - 1
    return rows.reshape(-1).astype(np.int32)


class PositionBias(nn.Cell):
    """Looks up the biases of all pairs of places in a table."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.places = size * size
        self.rows = Tensor(relative_positions(size))
        self.gather = ops.Gather()
        self.reshape, self.transpose = ops.Reshape(), ops.Transpose()

    def construct(self, table: Parameter) -> Tensor:
        """Returns (1, heads, places, places) of a table ((2 size - 1)**2, heads)."""
        biases = self.gather(table, self.rows, 0)
        biases = self.reshape(biases, (1, self.places, self.places, table.shape[1]))
        return self.transpose(biases, (0, 3, 1, 2))
