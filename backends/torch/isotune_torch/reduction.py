"""Adds the gradients of a batch's parts, over all processes.

The engine's own all-reduce adds in an order that depends on the number of processes. To add in the
order of the parts, each process gets one chunk of all parts' gradients, adds them, and gathers the
other chunks. With one part a process, both send the same number of bytes: 2 (P - 1) / P times those
of the gradients. With k parts a process, the first half of it is sent k times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

from isotune.errors import TrainingError
from isotune.interfaces.communicator import Communicator
from isotune.interfaces.division import Division, Part
from isotune_torch.communicator import TorchCommunicator, lost_processes

CHUNK = 1 << 20
"""Number of elements of a part that a process adds at a time: 4 MiB, which bounds the memory."""


class Gradients:
    """Gradients of a process's parts, added up until an update.

    Attributes:
        used: Whether each parameter has taken gradients in this process.

    Args:
        parameters: Those that train, by name; float32.
        division: Which parts are this process's.
        communicator: Reaches the other processes.
        exact: Whether to add in the order of the parts.
        accumulates: Whether an update may use several batches.
    """

    def __init__(
        self,
        parameters: dict[str, nn.Parameter],
        division: Division,
        communicator: Communicator,
        *,
        exact: bool,
        accumulates: bool,
    ) -> None:
        self._names, self._parameters = list(parameters), list(parameters.values())
        self._division, self._communicator = division, communicator
        self.used = np.zeros(len(parameters), bool)
        self._agreed = False
        alone = communicator.place.alone
        # One process adds the parts up as they come, unless another batch adds to each of them.
        self._apart = exact and not (alone and not accumulates)
        ends = list(accumulate((p.numel() for p in self._parameters), initial=0))
        processes = division.processes
        length = -(-ends[-1] // processes) * processes
        device = self._parameters[0].device
        self._rows = torch.zeros(len(division.own) if self._apart else 1, length, device=device)
        self._views = [list(self._shaped(row, ends)) for row in self._rows]

    def add(self, part: Part) -> None:
        """Moves the parameters' gradients to those of a part."""
        views = self._views[part.index - self._division.own[0] if self._apart else 0]
        taken = [
            (number, views[number], parameter.grad)
            for number, parameter in enumerate(self._parameters)
            if parameter.grad is not None
        ]
        if not taken:
            return
        numbers, sums, gradients = zip(*taken, strict=True)
        self._notice(numbers)
        with torch.no_grad():
            torch._foreach_add_(list(sums), list(gradients))
        for parameter in self._parameters:
            parameter.grad = None

    def reduce(self) -> None:
        """Gives the parameters that take gradients the sum of all parts.

        Raises:
            LostProcessError: Another process has ended, or is not reached.
        """
        self.agree()
        with torch.no_grad():
            if isinstance(self._communicator, TorchCommunicator):
                group = self._communicator.devices
                with lost_processes():
                    if self._apart:
                        _add_in_order(self._rows, group)
                    else:
                        distributed.all_reduce(self._rows[0], group=group)
            else:
                for row in self._rows[1:]:
                    self._rows[0] += row
        for parameter, total, used in zip(self._parameters, self._views[0], self.used, strict=True):
            parameter.grad = total if used else None

    def clear(self) -> None:
        """Starts the next update's gradients from zero, once the optimizer has used these."""
        self._rows.zero_()

    def agree(self) -> None:
        """Lets all processes know which parameters take gradients in any of them."""
        if not self._agreed and not self._communicator.place.alone:
            self.used = self._communicator.gather(self.used).any(axis=0)
            self._agreed = True

    def unused(self) -> list[str]:
        """Returns the names of parameters that have taken no gradients."""
        return [name for name, used in zip(self._names, self.used, strict=True) if not used]

    def _notice(self, numbers: Sequence[int]) -> None:
        """Remembers which parameters have taken gradients.

        Raises:
            TrainingError: One does that did not before, which other processes cannot know.
        """
        new = [number for number in numbers if not self.used[number]]
        if new and self._agreed:
            raise TrainingError(
                f"parameter '{self._names[new[0]]}' takes gradients of some batches only, which"
                " several processes cannot agree on: train in one process."
            )
        self.used[new] = True

    def _shaped(self, row: Tensor, ends: Sequence[int]) -> Iterator[Tensor]:
        """Yields a row's parts with the shapes of parameters, and their order in memory.

        Fused optimizers walk memory.
        """
        for parameter, (start, end) in zip(self._parameters, pairwise(ends), strict=True):
            # Not on the "meta" device, whose operators import SymPy.
            strides = torch.empty_like(parameter).stride()
            yield row[start:end].as_strided(parameter.shape, strides)


def _add_in_order(rows: Tensor, group: ProcessGroup) -> None:
    """Makes the first row the sum of all processes' rows, added in order.

    Args:
        rows: float32, shape (parts of the process, elements); the number of processes divides that
            of the elements.
        group: The processes.
    """
    processes, own = group.size(), len(rows)
    block = min(CHUNK * processes, rows.shape[1])
    for start in range(0, rows.shape[1], block):
        columns = rows[:, start : start + block]
        sent = columns.unflatten(1, (processes, -1)).transpose(0, 1).contiguous()
        received = torch.empty_like(sent)
        distributed.all_to_all_single(received, sent, group=group)
        parts = received.view(processes * own, -1)
        for part in parts[1:]:
            parts[0] += part
        distributed.all_gather_into_tensor(columns[0], parts[0], group=group)
