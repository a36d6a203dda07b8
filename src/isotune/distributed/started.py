"""A process of a run, as the process that has started it sees it."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from isotune.distributed.parent import LONGEST
from isotune.errors import IsotuneError, of_kind


class StartedProcess:
    """A process that has connected.

    What it says is bounded, and nothing but numbers and printable text.

    Attributes:
        connection: The socket that reaches it.
        rank: Its number, once it has said it.
        code: Its exit code, once it has said how it ends.
        error: What has ended it early, if it has said it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.rank: int | None = None
        self.code: int | None = None
        self.error: IsotuneError | None = None
        self._data = b""
        self._open = True
        self._pid = _peer(connection)

    @property
    def told(self) -> bool:
        """Whether it has said how it ends."""
        return self.code is not None

    def receive(self) -> bool:
        """Reads what it says; returns False once it has ended."""
        try:
            data = self.connection.recv(LONGEST)
        except OSError:
            data = b""
        if not data or len(self._data) + len(data) > 2 * LONGEST:
            self._open = False
            self.connection.close()
            return False
        *lines, self._data = (self._data + data).split(b"\n")
        for line in lines:
            with suppress(ValueError, TypeError, LookupError, RecursionError):
                self._take(json.loads(line))
        return True

    def give(self, descriptors: Sequence[int]) -> None:
        """Gives it the streams to write to."""
        with suppress(OSError):
            socket.send_fds(self.connection, [b"."], list(descriptors))

    def signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        if self._open and self._pid > 1:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self._pid, number)

    def kill(self) -> None:
        """Ends it at once, if it has not ended."""
        self.signal(signal.SIGKILL)
        if self._open:
            self.connection.close()
            self._open = False

    def _take(self, message: dict[str, Any]) -> None:
        """Takes a message, unless a value in it is of a wrong type."""
        if self.rank is None:
            rank = message["rank"]
            self.rank = rank if isinstance(rank, int) else None
            return
        code, name, lines = message["code"], message["kind"], message["lines"]
        if not (isinstance(code, int) and isinstance(name, str) and isinstance(lines, list)):
            return
        self.code = code
        if name:
            self.error = of_kind(name, map(str, lines))


def _peer(connection: socket.socket) -> int:
    """Returns the id of the process at the other end, by the operating system."""
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(struct.unpack("3i", data)[0])
    data = connection.getsockopt(0, 2, struct.calcsize("i"))  # SOL_LOCAL, LOCAL_PEERPID of macOS
    return int(struct.unpack("i", data)[0])
