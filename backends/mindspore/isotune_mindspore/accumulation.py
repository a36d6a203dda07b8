"""Gradient accumulation: sums of gradients, and the update by them, as compiled cells."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from isotune_mindspore.arrays import zeros_like
from isotune_mindspore.clipping import Clipping


def sums_for(parameters: Sequence[Parameter]) -> ParameterTuple:
    """Returns a sum of zero for each parameter."""
    return ParameterTuple([zeros_like(p, f"{p.name}/sum") for p in parameters])


class Accumulation(nn.Cell):
    """Takes the place of an update rule. `scalars`: the factor of the gradients."""

    def __init__(self, sums: ParameterTuple) -> None:
        super().__init__(auto_prefix=False)
        self.sums = sums
        self.assign_add = ops.AssignAdd()

    def construct(self, gradients: tuple[Tensor, ...], scalars: tuple[Tensor, ...]) -> None:
        """Adds the gradients to the sums."""
        for i, total in enumerate(self.sums):
            self.assign_add(total, gradients[i] * scalars[0])


class Update(nn.Cell):
    """Updates by the sums, then sets them to zero.

    Args:
        sums: Sums of gradients.
        update: Update rule, which takes them and scalars.
        averages: Takes the last scalar and moves averages after the update; None if there are none.
    """

    def __init__(
        self, sums: ParameterTuple, update: nn.Cell, averages: nn.Cell | None = None
    ) -> None:
        super().__init__(auto_prefix=False)
        self.sums = sums
        self.update = update
        self.clips = isinstance(update, Clipping)
        self.averages = averages
        self.unstack, self.assign = ops.Unstack(), ops.Assign()
        self.zeros_like = ops.ZerosLike()

    def construct(self, scalars: Tensor) -> Tensor:
        """Makes the update; returns the norm of the gradient with clipping, else `scalars`."""
        values = self.unstack(scalars)
        norm = self.update(self.gradients(), values)
        if self.averages is not None:
            self.averages(values[-1])
        for total in self.sums:
            self.assign(total, self.zeros_like(total))
        if self.clips:
            return norm
        return scalars

    def gradients(self) -> tuple[Tensor, ...]:
        """Returns the gradients to update by."""
        return self.sums
