"""How a batch is divided into shards, and these among processes: by position, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


def bounds(start: int, stop: int, parts: int) -> list[int]:
    """Returns where `parts` consecutive parts of positions begin, and where the last one ends.

    Their sizes differ by one at most.
    """
    return [start + (stop - start) * part // parts for part in range(parts + 1)]


@dataclass(frozen=True)
class Part:
    """What a process computes of a batch in one step: a whole shard, or its share of one.

    Attributes:
        index: Position among the parts of the batch, in whose order gradients are added.
        start: Position in the batch of its first image.
        stop: Position in the batch after its last image; an empty part has none.
        shard: The shard that it is or belongs to.
        first: Position in the shard of its first image.
        sizes: Number of images of every part of the batch.
        last: Whether it is the process's last part of the batch.
    """

    index: int
    start: int
    stop: int
    shard: int
    first: int
    sizes: tuple[int, ...]
    last: bool = True

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Division:
    """Divides batches among processes.

    A batch is divided into shards of consecutive positions. With as many processes as shards or
    fewer, a process computes whole shards, one after the other; with more, several processes
    compute a shard, each a part of it. The number of shards divides that of processes, or the
    other way round.

    Attributes:
        shards: Number of shards of a batch.
        processes: Number of processes.
        rank: This process's number, from 0.
    """

    shards: int = 1
    processes: int = 1
    rank: int = 0

    @property
    def parts(self) -> int:
        """Number of parts of a batch, all processes' together."""
        return max(self.shards, self.processes)

    @property
    def own(self) -> range:
        """Indices of this process's parts, consecutive and equally many in every process."""
        count = self.parts // self.processes
        return range(self.rank * count, (self.rank + 1) * count)

    @property
    def whole(self) -> bool:
        """Whether batches are not divided at all: one shard in one process."""
        return self.parts == 1

    @property
    def shared_shards(self) -> bool:
        """Whether several processes compute a shard."""
        return self.processes > self.shards

    @property
    def shard_parts(self) -> int:
        """Number of parts of a shard."""
        return self.parts // self.shards

    def shard(self, part: int) -> int:
        """Returns the shard that a part is or belongs to."""
        return part // self.shard_parts

    def shard_sizes(self, sizes: Sequence[int]) -> list[int]:
        """Returns the number of images of every shard of a batch, given those of its parts."""
        count = self.shard_parts
        return [sum(sizes[i : i + count]) for i in range(0, self.parts, count)]

    def edges(self, images: int) -> list[int]:
        """Returns where the parts of a batch of so many images begin, and where the last ends."""
        shards = bounds(0, images, self.shards)
        edges = [0]
        for start, stop in pairwise(shards):
            edges += bounds(start, stop, self.shard_parts)[1:]
        return edges

    def share(self, images: int) -> range:
        """Returns the positions of this process's parts in a batch of so many images."""
        edges = self.edges(images)
        return range(edges[self.own.start], edges[self.own.stop])

    def divide(self, images: int) -> list[Part]:
        """Returns this process's parts of a batch of so many images, in order; some may be empty.

        A process whose part of a shared shard is empty still takes part in computing the shard.
        """
        edges = self.edges(images)
        sizes = tuple(stop - start for start, stop in pairwise(edges))
        return list(self._divide(edges, sizes))

    def _divide(self, edges: Sequence[int], sizes: tuple[int, ...]) -> Iterator[Part]:
        for index in self.own:
            shard = self.shard(index)
            first = edges[index] - edges[shard * self.shard_parts]
            last = index == self.own[-1]
            yield Part(index, edges[index], edges[index + 1], shard, first, sizes, last)


UNDIVIDED = Division()
"""One shard in one process."""
