"""A server that sends whatever bytes it likes, HTTP or not."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from itertools import repeat

Answer = Callable[[socket.socket, str], None]
"""Answers one request, given its lines. The connection is closed afterwards."""

BODY = bytes(range(256)) * 4
"""What is downloaded."""


class RawServer(socketserver.ThreadingTCPServer):
    """Answers each connection's first request with :attr:`answer`.

    Attributes:
        answer: what answers the next requests.
        requests: the requests so far.
        url: the server's address.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 50

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), self._serve)
        self.answer = answer
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def _serve(self, connection: socket.socket, *_: object) -> None:
        # A client that gives up closes its end.
        with contextlib.suppress(OSError):
            lines = b""
            while b"\r\n\r\n" not in lines:
                data = connection.recv(1 << 16)
                if not data:
                    return
                lines += data
            self.requests.append(lines.decode("latin-1"))
            self.answer(connection, self.requests[-1])

    def start(self) -> None:
        """Serves in another thread until :meth:`shutdown`, or the end of the process."""
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


def head(*lines: str, status: str = "200 OK") -> bytes:
    """Returns a status line and headers."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def whole(*lines: str, body: bytes = BODY) -> bytes:
    """Returns a response with its length."""
    return head(f"Content-Length: {len(body)}", *lines) + body


def endless(before: bytes, piece: bytes) -> Answer:
    """Sends `before`, and then `piece` for ever."""

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(before)
        for each in repeat(piece * (1 + 1000 // len(piece))):
            connection.sendall(each)

    return answer


def in_order(*answers: bytes) -> Answer:
    """Answers each request with the next bytes, and the last ones again and again."""
    waiting = list(answers)

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return answer


@contextlib.contextmanager
def raw_server(answer: Answer | bytes) -> Iterator[RawServer]:
    """Starts a server that answers by a function, or always with the same bytes."""

    def repeat(connection: socket.socket, _: str) -> None:
        assert isinstance(answer, bytes)
        connection.sendall(answer)

    with RawServer(repeat if isinstance(answer, bytes) else answer) as server:
        server.start()
        try:
            yield server
        finally:
            server.shutdown()
