"""Constants of attention within square windows of an image, as in Swin Transformers and MaxViT."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def relative_positions(size: int) -> NDArray[np.int64]:
    """Returns the row in a table of biases for each pair of places in a window.

    Rows are numbered by ``(dy + size - 1) * (2 * size - 1) + dx + size - 1`` (Liu et al., "Swin
    Transformer", 2021, equation 4). Shape (size**2, size**2), place of the query first.
    """
    y, x = np.divmod(np.arange(size * size), size)
    dy, dx = y[:, None] - y[None], x[:, None] - x[None]
    rows: NDArray[np.int64] = (dy + size - 1) * (2 * size - 1) + dx + size - 1
    return rows


def log_spaced(size: int) -> NDArray[np.float32]:
    """Returns the coordinates of all relative positions: shape (2 size - 1, 2 size - 1, 2).

    ``sign(d) log2(1 + |8 d / (size - 1)|) / log2(8)``: equation 4 of Liu et al., "Swin Transformer
    V2", 2022, and its published code for the factor.
    """
    steps = 8 * np.arange(1 - size, size) / (size - 1)
    logs = (np.sign(steps) * np.log2(np.abs(steps) + 1) / 3).astype(np.float32)
    pairs: NDArray[np.float32] = np.stack(np.meshgrid(logs, logs, indexing="ij"), -1)
    return pairs
