"""Whole arrays of a training step, on disk: each content once, read as it is needed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.traces.trace import call_name, key
from isotune.errors import RunError

Array = NDArray[np.float32]

SPARE = 1 << 30
"""Bytes of a disk that are left free for others."""

ALIGNMENT = 64
"""Arrays start at multiples of this, which vector instructions like."""


def input_key(name: str, number: int) -> str:
    """Returns the key of a whole input of a layer's call, counted from 0."""
    return f"inputs/{name}/{number}"


class WholeArrays(Mapping[str, Array]):
    """Arrays by key, in a file that has no name: it is gone when its last user is.

    A layer's input is mostly the output of another, and an activation's gradient that of a sum:
    arrays of the same content are kept once, and are the same object.

    Args:
        folder: Where to make the file; None is the system's folder for temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise RunError(f"{self._folder}: {error.strerror}") from error
        self._end = 0
        self._by_content: dict[tuple[bytes, tuple[int, ...]], Array] = {}
        self._by_key: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        """Returns an array, read-only and memory-mapped."""
        return self._by_key[name]

    def __iter__(self) -> Iterator[str]:
        """Iterates over the keys, in the order in which they came."""
        return iter(self._by_key)

    def __len__(self) -> int:
        """Returns the number of keys."""
        return len(self._by_key)

    def __enter__(self) -> WholeArrays:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the file. Arrays that are still in use stay readable."""
        self.close()

    def close(self) -> None:
        """Closes the file. Arrays that are still in use stay readable."""
        self._by_content.clear()
        self._by_key.clear()
        self._file.close()

    @property
    def size(self) -> int:
        """Number of bytes on disk."""
        return self._end

    def keep(self, name: str, array: Array) -> None:
        """Keeps a copy of an array.

        Args:
            name: Its key.
            array: float32, of any shape.

        Raises:
            RunError: The disk has too little room.
        """
        content = np.ascontiguousarray(array, np.float32)
        digest = blake2b(content.data, digest_size=32).digest()
        at = (digest, array.shape)
        if at not in self._by_content:
            self._by_content[at] = self._write(content.reshape(array.shape))
        self._by_key[name] = self._by_content[at]

    def keep_call(self, path: str, call: int, inputs: Sequence[Array], output: Array) -> None:
        """Keeps what a layer was given in a call, and what it has made of it.

        Args:
            path: The layer's canonical path.
            call: Which of its calls in this step it is, from 0.
            inputs: Its inputs.
            output: Its output.
        """
        name = call_name(path, call)
        for number, array in enumerate(inputs):
            self.keep(input_key(name, number), array)
        self.keep(key("forward", name), output)

    def _write(self, array: Array) -> Array:
        if not array.nbytes:
            return array.copy()
        start = -(-self._end // ALIGNMENT) * ALIGNMENT
        try:
            if shutil.disk_usage(self._folder).free < array.nbytes + SPARE:
                raise self._no_room(array.nbytes)
            self._file.seek(start)
            view = array.reshape(-1).data.cast("B")
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._no_room(array.nbytes) from error
        self._end = start + array.nbytes
        return np.memmap(self._file, np.float32, "r", start, array.shape)

    def _no_room(self, more: int) -> RunError:
        return RunError(
            f"{self._folder}: whole arrays of a training step have taken"
            f" {self._end / 2**30:.1f} GiB so far, and the disk has no room for"
            f" {more / 2**20:,.0f} MiB more; a smaller batch_size needs less, and TMPDIR names"
            " another folder."
        )
