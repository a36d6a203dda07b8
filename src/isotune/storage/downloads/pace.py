"""HTTP connections that give up on a server which sends next to nothing.

A socket's timeout begins anew with each byte, so it never ends a response that comes at a byte a
second, nor headers, interim responses (``100 Continue``) or trailers without end. Here the bytes
of the file itself are counted: too few of them in a while are a timeout.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Mapping
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

clock = time.monotonic

WINDOW = 60.0
"""Seconds in which :data:`SLOWEST` bytes have to arrive."""

SLOWEST = 30_000
"""Least number of bytes in a window: four kilobits a second."""


class Pace:
    """Counts the bytes of a file as they arrive."""

    def __init__(self) -> None:
        self._start, self._received = clock(), 0

    def count(self, size: int) -> None:
        """Notes that `size` bytes of the file arrived."""
        self._received += size

    def check(self) -> None:
        """Begins the next window, when it is time.

        Raises:
            TimeoutError: too few bytes arrived in the last one.
        """
        now = clock()
        if now - self._start < WINDOW:
            return
        if self._received < SLOWEST:
            raise TimeoutError(f"{self._received} bytes in {WINDOW:.0f} seconds")
        self._start, self._received = now, 0


class _PacedReader(io.RawIOBase):
    """The bytes of a socket, as long as they come at a pace."""

    def __init__(self, raw: io.RawIOBase, pace: Pace) -> None:
        self._raw, self._pace = raw, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._pace.check()
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._pace = Pace()
        # Nothing has been read yet, so that the buffer is empty.
        self.fp = io.BufferedReader(_PacedReader(self.fp.detach(), self._pace))

    def read1(self, n: int = -1) -> bytes:
        data = super().read1(n)
        self._pace.count(len(data))
        return data


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _Response


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS: Mapping[str, type[urllib3.HTTPConnectionPool]] = {"http": _Pool, "https": _SecurePool}


class PacedAdapter(HTTPAdapter):
    """Requests' adapter with these connections; they do not go through a SOCKS proxy."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Creates the pools of direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = dict(_POOLS)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Returns the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = dict(_POOLS)
        return manager
