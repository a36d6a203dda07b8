"""Fills up short evaluation batches, for which a step would have to be compiled of their own."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

FULL_ENOUGH = 0.75
"""Which part of the rows must be there: the others cost time at every evaluation.

Compiling a ResNet's evaluation takes a CPU as long as a few dozen images take to pass it.
"""


class Padding:
    """Remembers the sizes of batches that were evaluated."""

    def __init__(self, model: nn.Cell) -> None:
        # In other models, what comes out for one row does not depend on the others.
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
