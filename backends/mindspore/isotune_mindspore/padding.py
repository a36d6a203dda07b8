"""Pads short evaluation batches, which would otherwise need a compiled step of their own."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

FULL_ENOUGH = 0.75
"""Minimum share of real rows: padding costs time at every evaluation.

On a CPU, compiling a ResNet's evaluation takes as long as evaluating a few dozen images.
"""


class Padding:
    """Pads batches to the largest size evaluated so far."""

    def __init__(self, model: nn.Cell) -> None:
        # In all other models, the output of a row does not depend on other rows.
        self._mixes = any(
            getattr(cell, "use_batch_statistics", None) is True
            for _, cell in model.cells_and_names()
        )
        self._largest: dict[tuple[int, ...], int] = {}

    def pad(self, images: Tensor) -> Tensor:
        """Returns `images`, shape (N, ...), with rows of zeros up to the largest batch so far.

        Returns them as they are if N is below :data:`FULL_ENOUGH` of that, or if the model's rows
        depend on one another.
        """
        rows, *shape = images.shape
        largest = self._largest.get(tuple(shape), 0)
        if self._mixes or rows >= largest or rows < FULL_ENOUGH * largest:
            self._largest[tuple(shape)] = max(rows, largest)
            return images
        missing = ops.zeros((largest - rows, *shape), images.dtype)
        padded: Tensor = ops.Concat()((images, missing))
        return padded
