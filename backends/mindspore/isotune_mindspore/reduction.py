"""Adds what all parts of a batch contribute to a gradient, inside a compiled update."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from typing_extensions import assert_never

from isotune.interfaces.division import Division
from isotune.spec.values import Reduction
from isotune_mindspore.accumulation import Update
from isotune_mindspore.vectors import Split

GATHERED = 1 << 24
"""Number of elements that a process gathers at a time, of all parts together: 64 MB of float32."""


class Local(nn.Cell):
    """Adds the parts of one process, in order."""

    def construct(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Returns the sum of vectors of the same length."""
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


class InOrder(nn.Cell):
    """Adds the parts of all processes in their order, in every process alike.

    An all-gather is all that MindSpore's collectives on CPUs (2.10) have for it: a process receives
    (processes - 1) times the gradients of its parts. It gathers pieces, to hold one at a time.

    Args:
        division: How a batch is divided.
        length: Number of elements of a part's vector.
    """

    def __init__(self, division: Division, length: int) -> None:
        super().__init__()
        self.parts = division.parts
        step = max(1, GATHERED // division.parts)
        self.pieces = tuple(
            (start, min(start + step, length) - start) for start in range(0, length, step)
        )
        self.all_gather, self.slice = ops.AllGather(), ops.Slice()
        self.stack, self.unstack, self.concat = ops.Stack(), ops.Unstack(), ops.Concat()
        self.add = Local()

    def construct(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Returns the sum over all processes of vectors of the same length."""
        totals: tuple[Tensor, ...] = ()
        for start, length in self.pieces:
            own: tuple[Tensor, ...] = ()
            for part in parts:
                own += (self.slice(part, (start,), (length,)),)
            gathered = self.all_gather(self.stack(own))
            totals += (self.add(self.unstack(gathered)),)
        return self.concat(totals)


class AllReduce(nn.Cell):
    """Adds the parts of all processes by the framework's all-reduce, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.add, self.all_reduce = Local(), ops.AllReduce()

    def construct(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Returns the sum over all processes of vectors of the same length."""
        return self.all_reduce(self.add(parts))


def sum_of_parts(reduction: Reduction, division: Division, length: int) -> nn.Cell:
    """Returns the cell that adds this process's vectors, of `length` elements, and the others'."""
    if division.processes == 1:
        return Local()
    match reduction:
        case "exact":
            return InOrder(division, length)
        case "fast":
            return AllReduce()
        case _:
            assert_never(reduction)


class PartsUpdate(Update):
    """Updates by the gradients of all parts, then sets this process's to zero.

    Args:
        parts: The sums of gradients of this process's parts, one vector each.
        weights: The parameters whose gradients they hold, one after the other.
        total: Adds them to those of other processes.
        update: As for :class:`Update`.
        averages: As for :class:`Update`.
    """

    def __init__(
        self,
        parts: Sequence[Parameter],
        weights: Sequence[Parameter],
        total: nn.Cell,
        update: nn.Cell,
        averages: nn.Cell | None = None,
    ) -> None:
        super().__init__(ParameterTuple(parts), update, averages)
        self.total, self.split = total, Split(weights)

    def gradients(self) -> tuple[Tensor, ...]:
        """Returns the sum over all parts of all processes, by parameter."""
        return self.split(self.total(self.sums))
