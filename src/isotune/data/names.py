"""Many names in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


class Names(Sequence[str]):
    """Names as one array of bytes: a million of them take as many bytes as a file of them does.

    Args:
        text: The names in UTF-8, one after another; bytes of file names that are not text as
            ``os.fsencode`` writes them: uint8, shape (bytes,).
        ends: Where each ends in it: int64, shape (N,).
    """

    def __init__(self, text: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, names: Iterable[str]) -> Names:
        """Packs names."""
        text, ends = bytearray(), array("q")
        for name in names:
            text += name.encode("utf-8", "surrogateescape")
            ends.append(len(text))
        return cls(np.frombuffer(bytes(text), np.uint8), np.array(ends, np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Names]) -> Names:
        """Returns the names of all parts, in order."""
        starts = np.cumsum([0, *(len(part.text) for part in parts)])
        empty = [np.zeros(0, np.int64)]
        ends = [part.ends + start for part, start in zip(parts, starts.tolist(), strict=False)]
        text = [np.zeros(0, np.uint8), *(part.text for part in parts)]
        return cls(np.concatenate(text), np.concatenate([*empty, *ends]))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Names: ...

    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return self.of(self[each] for each in range(*index.indices(len(self))))
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = int(self.ends[index - 1]) if index else 0
        return _decoded(self.text[start : int(self.ends[index])].tobytes())

    def __iter__(self) -> Iterator[str]:
        text, start = np.ascontiguousarray(self.text).data, 0
        for end in self.ends.tolist():
            yield _decoded(bytes(text[start:end]))
            start = end


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
