"""What a process tells the one that has started it and the others of its run on this machine.

They are connected by a socket in a private folder, which :data:`VARIABLE` names. It takes the
process's number and, when it ends, what has ended it; it gives process 0 the streams to show
progress on. A connection that is cut says that a process has ended, whatever has killed it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from isotune.errors import IsotuneError, LostProcessError, kind_of
from isotune.interfaces.communicator import Place

VARIABLE = "ISOTUNE_PARENT"
"""Environment variable with the path of the socket."""

LONGEST = 1 << 16
"""Largest number of bytes of a message, each of which is a line of JSON."""


@dataclass(frozen=True)
class Parent:
    """The process that has started this one.

    Attributes:
        place: Which of the processes it has started this one is.
        streams: Descriptors of standard output and standard error for process 0; none for others.
    """

    place: Place
    streams: tuple[int, ...]
    _connection: socket.socket

    def tell(self, code: int, error: IsotuneError | None = None) -> None:
        """Tells how this process ends.

        Args:
            code: Its exit code.
            error: What has ended it early.
        """
        kind = "" if error is None else kind_of(error)
        lines = [] if error is None else str(error).split("\n")
        while len(data := _line({"code": code, "kind": kind, "lines": lines})) > LONGEST:
            lines = lines[: len(lines) // 2]
        with suppress(OSError):  # there is nobody left to tell
            self._connection.sendall(data)


_parent: Parent | None = None


def parent() -> Parent | None:
    """Returns the process that has started this one as one of several, if it was reached."""
    return _parent


def reach_parent(place: Place) -> Parent | None:
    """Connects to the process that has started this one, if one has; asks to stop when it ends.

    Args:
        place: Which of the processes this one is.

    Raises:
        LostProcessError: That process has ended.
    """
    global _parent
    path = os.environ.pop(VARIABLE, None)  # not for what this process starts
    if path is None:
        return None
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        connection.sendall(_line({"rank": place.rank}))
        _, streams, _, _ = socket.recv_fds(connection, 1, 2)
    except OSError as error:
        raise LostProcessError("the process that has started this one has ended.") from error
    _parent = Parent(place, tuple(streams), connection)
    threading.Thread(target=_stop_at_the_end, args=(connection,), daemon=True).start()
    return _parent


def _stop_at_the_end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
