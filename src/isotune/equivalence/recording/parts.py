"""What is kept of arrays whose rows come in parts, from one process or from several."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isotune.distributed.group import Group
from isotune.equivalence.traces.sampling import (
    Sums,
    Values,
    positions,
    summed_up,
    sums_of,
    values_of,
)
from isotune.interfaces.division import Part

Wide = NDArray[np.float64]


@dataclass
class Runs:
    """What is kept of an array so far.

    Attributes:
        shape: The whole array's shape.
        sums: Sums over the parts that have come.
        samples: Samples of the parts that have come, by the number of the first of them.
    """

    shape: tuple[int, ...]
    sums: Sums = field(default_factory=Sums)
    samples: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def merge(self, other: Runs) -> None:
        """Adds other parts of the same array; those of one with another shape stay missing."""
        if other.shape == self.shape:
            self.sums += other.sums
            self.samples.update(other.samples)

    def values(self, name: str) -> Values | None:
        """Returns what is kept of the whole array; None if parts of it are missing."""
        runs = [self.samples[first] for first in sorted(self.samples)]
        samples = np.concatenate(runs) if runs else np.zeros(0, np.float32)
        if len(samples) != len(positions(name, self.shape)):
            return None
        return summed_up(self.shape, self.sums, samples)


class Parts:
    """What is kept of all arrays of a step, in the order in which they come.

    The first axis of an array stands for images, or for as many rows of each image; what has other
    rows is kept of a whole batch only.

    Args:
        images: Number of images of the batch.
        sums: Whether to add up elements.
    """

    def __init__(self, images: int, sums: bool) -> None:
        self._images, self._with_sums = images, sums
        self._whole: dict[str, Values] = {}
        self._runs: dict[str, Runs] = {}
        self._added: dict[str, Wide] = {}

    def add(self, name: str, array: NDArray[np.float32], part: Part | None) -> None:
        """Takes an array of a batch, or of a part of one.

        Args:
            name: Its name in the trace.
            array: float32.
            part: The part; None for a whole batch.
        """
        if part is None:
            self._whole[name] = self._values(name, array)
        elif len(part) and array.ndim and len(array) % len(part) == 0:
            rows = len(array) // len(part)
            shape = (self._images * rows, *array.shape[1:])
            start = part.start * rows * math.prod(array.shape[1:])
            places = positions(name, shape)
            first, last = np.searchsorted(places, [start, start + array.size])
            samples = np.asarray(array.flat[places[first:last] - start], np.float32)
            sums = sums_of(array) if self._with_sums else Sums()
            runs = Runs(shape, sums, {int(first): samples} if len(samples) else {})
            self._runs.setdefault(name, Runs(shape)).merge(runs)

    def add_up(self, name: str, array: NDArray[np.float32], part: Part | None) -> None:
        """Takes an array that is the sum of those of all parts, such as a parameter's gradient."""
        if part is None:
            self._whole[name] = self._values(name, array)
        elif name in self._added:
            self._added[name] += array
        else:
            self._added[name] = array.astype(np.float64)

    def values(self, group: Group) -> dict[str, Values]:
        """Returns what is kept of each array of the whole batch, by its name.

        Args:
            group: The processes, all of which call this.
        """
        if not group.place.alone:
            self._exchange(group)
        found = {name: runs.values(name) for name, runs in self._runs.items()}
        added = {
            name: self._values(name, wide.astype(np.float32)) for name, wide in self._added.items()
        }
        return {
            **self._whole,
            **{name: values for name, values in found.items() if values is not None},
            **added,
        }

    def _values(self, name: str, array: NDArray[np.float32]) -> Values:
        return values_of(name, array, self._with_sums)

    def _exchange(self, group: Group) -> None:
        """Puts together what the processes have."""
        found: dict[str, Runs] = {}
        for message in group.exchange(_packed(self._runs)):
            for name, runs in _unpacked(message).items():
                if found.setdefault(name, runs) is not runs:
                    found[name].merge(runs)
        self._runs = found
        names = json.dumps(list(self._added)).encode()
        for name in dict.fromkeys(n for each in group.exchange(names) for n in json.loads(each)):
            own = self._added.get(name)
            rows = group.arrays(np.zeros(0) if own is None else own[None])
            self._added[name] = np.concatenate([row for row in rows if len(row)]).sum(0)


def _packed(arrays: dict[str, Runs]) -> bytes:
    """Returns the arrays as bytes: a line of JSON, and after it the samples."""
    head = [
        [
            name,
            runs.shape,
            [runs.sums.squares, runs.sums.total, runs.sums.largest],
            [[first, len(samples)] for first, samples in runs.samples.items()],
        ]
        for name, runs in arrays.items()
    ]
    samples = (each for runs in arrays.values() for each in runs.samples.values())
    return json.dumps(head).encode() + b"\n" + b"".join(each.tobytes() for each in samples)


def _unpacked(message: bytes) -> dict[str, Runs]:
    head, _, body = message.partition(b"\n")
    samples, start, arrays = np.frombuffer(body, np.float32), 0, dict[str, Runs]()
    for name, shape, sums, runs in json.loads(head):
        arrays[name] = Runs(tuple(shape), Sums(*sums))
        for first, length in runs:
            arrays[name].samples[first] = samples[start : start + length]
            start += length
    return arrays
