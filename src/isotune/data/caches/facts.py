"""What is known of image files, and how it is written to a cache file.

The form is made for a million files: an array of bytes that holds a header, the files' names and
one array for each kind of fact, so that reading and comparing it takes no object per file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.stamps import DIGEST, Digests, Stamps

_LENGTH = 8
"""Number of bytes of the header's length, an unsigned integer, the least significant first."""

_EACH = 4 * 8 + DIGEST + 2
"""Number of bytes for each file: a stamp, a digest and two truth values."""


@dataclass(frozen=True)
class Facts:
    """What is known of N files; an unknown one has a stamp of zeros and is not settled.

    Attributes:
        stamps: Their stamps when they were read.
        settled: Whether the same stamp means the same content: bool, shape (N,).
        digests: Their contents' digests.
        checked: Whether each was decoded, as far as it can be read: bool, shape (N,).
        problems: Why checked files cannot be read, by position; the others can be.
    """

    stamps: Stamps
    settled: NDArray[np.bool_]
    digests: Digests
    checked: NDArray[np.bool_]
    problems: dict[int, str]

    @classmethod
    def unknown(cls, count: int) -> Facts:
        """Returns the facts of `count` files of which nothing is known."""
        return cls(
            np.zeros((count, 4), np.int64),
            np.zeros(count, np.bool_),
            np.zeros((count, DIGEST), np.uint8),
            np.zeros(count, np.bool_),
            {},
        )

    def at(self, places: NDArray[np.int64]) -> Facts:
        """Returns the facts of the files at `places`; -1 stands for an unknown one."""
        result, known = Facts.unknown(len(places)), np.flatnonzero(places >= 0)
        for mine, theirs in zip(self._arrays(), result._arrays(), strict=True):
            theirs[known] = mine[places[known]]
        if self.problems:
            wanted = {place: index for index, place in enumerate(places.tolist())}
            found = ((wanted.get(place), why) for place, why in self.problems.items())
            result.problems.update({index: why for index, why in found if index is not None})
        return result

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.stamps, self.settled, self.digests, self.checked


def joined(names: Sequence[str]) -> bytes:
    """Returns the names of files as bytes, from which :func:`places` finds them again."""
    return "\0".join(names).encode("utf-8", "surrogatepass")


def places(names: Sequence[str], cached: bytes) -> NDArray[np.int64]:
    """Returns the position of each name among the cached ones, -1 if it is not there."""
    known = cached.decode("utf-8", "surrogatepass").split("\0")
    found = {name: place for place, name in enumerate(known)}
    return np.array([found.get(name, -1) for name in names], np.int64)


def packed(names: bytes, version: str, facts: Facts) -> NDArray[np.uint8]:
    """Returns everything as one array of bytes: uint8, of one axis.

    Args:
        names: The files' names, joined.
        version: What decides whether files were checked by the same code.
        facts: Of these files.
    """
    content = {
        "version": version,
        "count": len(facts.stamps),
        "names": len(names),
        "problems": sorted(facts.problems.items()),
    }
    header = json.dumps(content).encode()
    parts = [len(header).to_bytes(_LENGTH, "little") + header + names]
    arrays = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in facts._arrays()]
    return np.concatenate([*(np.frombuffer(part, np.uint8) for part in parts), *arrays])


def unpacked(data: NDArray[np.uint8]) -> tuple[bytes, str, Facts]:
    """Returns the names, the version and the facts that an array of bytes was made of.

    Raises:
        ValueError: It is none, such as one of an earlier version.
        LookupError: The same.
        TypeError: The same.
    """
    start = _LENGTH + int.from_bytes(data[:_LENGTH].tobytes(), "little")
    header = json.loads(data[_LENGTH:start].tobytes())
    count, size = int(header["count"]), int(header["names"])
    if min(count, size) < 0 or start + size + count * _EACH != len(data):
        raise ValueError("its parts have other sizes than its header says")
    names = data[start : start + size].tobytes()
    facts, start = Facts.unknown(count), start + size
    for array in facts._arrays():
        part = data[start : start + array.nbytes]
        array[:] = part.view(array.dtype).reshape(array.shape)
        start += array.nbytes
    facts.problems.update({int(index): str(why) for index, why in header["problems"]})
    if not all(0 <= index < count for index in facts.problems):
        raise ValueError("it has problems of files that it does not name")
    return names, str(header["version"]), facts
