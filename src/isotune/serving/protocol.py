"""HTTP/1.1 connections that are bounded in number, and in the time that a header may take."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from isotune.serving.limits import Limits

STREAM_SECONDS = 5.0
"""Seconds that GET requests are still answered after the service was asked to end."""


@cache
def bounded_protocol(limits: Limits) -> type[H11Protocol]:
    """Returns a connection's class for ``uvicorn.Config(http=...)``.

    uvicorn itself waits for a header without end, so that a client may hold any number of
    connections (Slowloris), and refuses what is not HTTP in plain text.
    """

    class BoundedProtocol(H11Protocol):
        """A connection."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self._refuse(503, "too many connections are open; try again in a moment.")
                return
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:  # the header is complete
                self._stop_timer()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self._start_timer()

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self._refuse(400, "the request is not HTTP/1.1.")
            else:  # it follows a request that is being answered
                self.transport.close()

        def shutdown(self) -> None:
            super().shutdown()
            if self.cycle is not None and self.cycle.scope["method"] == "GET":
                # A page reads events from a response that has no end of its own.
                self.loop.call_later(STREAM_SECONDS, self.transport.close)

        def _start_timer(self) -> None:
            self._stop_timer()
            self._timer = self.loop.call_later(limits.header_seconds, self._time_out)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _time_out(self) -> None:
            if not self.transport.is_closing():
                self._refuse(408, "the header of the request came too slowly.")

        def _refuse(self, status: int, sentence: str) -> None:
            body = json.dumps({"detail": sentence}).encode()
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            for event in (
                h11.Response(status_code=status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return BoundedProtocol
