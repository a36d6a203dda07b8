"""The processes of a run: what they tell each other, and how an error in one ends all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from isotune.errors import IsotuneError, LostProcessError, kind_of, of_kind
from isotune.interfaces.communicator import Alone, Communicator, Place
from isotune.interfaces.division import Division

T = TypeVar("T")

INLINE = 56
"""Number of bytes that need no second message."""

CHUNK = 1 << 22
"""Number of bytes that process 0 sends at once."""

LONGEST_ERROR = 4000
"""Number of bytes of an error's sentence that reach the other processes."""


class Group:
    """The processes of a run, in which the same calls of these methods follow each other.

    A process that fails between two calls reports it in the next one, whichever that is, where
    the error is then raised in all processes: so none of them waits for one that has ended.

    Args:
        communicator: Reaches the other processes; None for a process that is alone.
    """

    def __init__(self, communicator: Communicator | None = None) -> None:
        self._communicator = communicator or Alone()
        self._reported = False
        self._parted = False

    @property
    def together_still(self) -> bool:
        """Whether no error has ended this process where the others could not hear of it."""
        return not self._parted

    @property
    def place(self) -> Place:
        """Which of the processes this one is."""
        return self._communicator.place

    def division(self, shards: int) -> Division:
        """Returns how the group divides a batch that has so many shards."""
        return Division(shards, self.place.processes, self.place.rank)

    def exchange(self, data: bytes = b"") -> list[bytes]:
        """Returns what each process gives, in the order of the processes.

        Raises:
            IsotuneError: Another process has failed; the sentence is its own.
            LostProcessError: Another process has ended, or failed unexpectedly.
        """
        if self.place.alone:
            return [data]
        messages = self._messages(data, failed=False)
        for rank, (failed, message) in enumerate(messages):
            if failed:
                self._reported = True
                raise _received(rank, message)
        return [message for _, message in messages]

    def arrays(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Returns the arrays of all processes, in the order of the processes.

        Args:
            values: An array of the same dtype in every process, and, except for the first axis, of
                the same shape; where it has no rows, its other axes do not matter.

        Raises:
            IsotuneError: As :meth:`exchange`.
        """
        if self.place.alone:
            return [values]
        shapes = [json.loads(each) for each in self.exchange(json.dumps(values.shape).encode())]
        largest = max(shapes, key=lambda shape: shape[0])
        if largest[0] == 0:
            return [values for _ in shapes]
        padded = np.zeros(largest, values.dtype)
        padded[: len(values)] = values.reshape(len(values), *largest[1:])
        rows = self._communicator.gather(padded)
        return [part[: shape[0]] for part, shape in zip(rows, shapes, strict=True)]

    def share(self, data: bytes | None) -> bytes:
        """Returns what process 0 gives, of any length; others give None.

        Raises:
            IsotuneError: As :meth:`exchange`.
        """
        if self.place.alone:
            return data or b""
        given = np.frombuffer(data or b"", np.uint8)
        size = int(self.exchange(str(len(given)).encode())[0])
        shared = bytearray()
        for start in range(0, size, CHUNK):
            chunk = np.zeros(min(CHUNK, size - start), np.uint8)
            if self.place.leads:
                chunk[:] = given[start : start + CHUNK]
            shared += self._communicator.broadcast(chunk).tobytes()
        return bytes(shared)

    def together(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns in this process, once it has succeeded in all of them.

        Raises:
            IsotuneError: It has failed in some process; the sentence is the first one's.
        """
        try:
            result = work()
        except Exception as error:
            self.report(error)
            raise
        self.exchange()
        return result

    def report(self, error: BaseException) -> None:
        """Lets the next call in all other processes raise an error of this one.

        Does nothing if the error has come from another process, or was reported before, or if the
        others are no longer reached.
        """
        if self.place.alone or self._reported or isinstance(error, LostProcessError):
            return
        self._reported = True
        try:
            self._messages(_encoded(error), failed=True)
        except LostProcessError:
            return

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Reports an error that is raised within."""
        try:
            yield
        except Exception as error:
            self.report(error)
            raise

    @contextmanager
    def in_collective(self) -> Iterator[None]:
        """Lets nothing be reported of an error that is raised within.

        There the processes wait for each other in the backend's own collectives, where none hears
        a report, so that a process that fails has to end.
        """
        try:
            yield
        except BaseException:
            self._reported = self._parted = True
            raise

    def _messages(self, data: bytes, failed: bool) -> list[tuple[bool, bytes]]:
        head = np.zeros(8 + INLINE, np.uint8)
        head[0] = failed
        head[1:8] = np.frombuffer(len(data).to_bytes(7, "big"), np.uint8)
        inline = np.frombuffer(data[:INLINE], np.uint8)
        head[8 : 8 + len(inline)] = inline
        heads = self._communicator.gather(head)
        sizes = [int.from_bytes(each[1:8].tobytes(), "big") for each in heads]
        bodies = [each[8:].tobytes()[:size] for each, size in zip(heads, sizes, strict=True)]
        if max(sizes) > INLINE:
            body = np.zeros(max(sizes), np.uint8)
            body[: len(data)] = np.frombuffer(data, np.uint8)
            rows = self._communicator.gather(body)
            bodies = [row.tobytes()[:size] for row, size in zip(rows, sizes, strict=True)]
        return [(bool(each[0]), body) for each, body in zip(heads, bodies, strict=True)]


def _encoded(error: BaseException) -> bytes:
    if isinstance(error, IsotuneError):
        kind, sentence = kind_of(error), str(error)
    else:
        kind, sentence = "", f"{type(error).__name__}: {error}".rstrip(": ")
    text = sentence.encode(errors="replace")[:LONGEST_ERROR].decode(errors="ignore")
    return json.dumps({"kind": kind, "text": text}).encode()


def _received(rank: int, message: bytes) -> IsotuneError:
    """Returns an error of another process."""
    told = json.loads(message)
    if not told["kind"]:
        return LostProcessError(f"process {rank} failed: {told['text']}")
    return of_kind(told["kind"], told["text"].splitlines())
