"""Serves an application under uvicorn until it is asked to end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from isotune.data.decode import reason
from isotune.errors import IsotuneError
from isotune.reports.numbers import count

if TYPE_CHECKING:
    from fastapi import FastAPI

    from isotune.serving.limits import Limits

log = logging.getLogger(__name__)

PACKAGES = ("fastapi", "uvicorn", "python_multipart")

GRACE_SECONDS = 30
"""Seconds that requests get to be answered after the service was asked to end."""


class ServingError(IsotuneError):
    """An address cannot be listened on, or a package is missing."""

    exit_code = 2


def check_packages(page: bool) -> None:
    """Checks that what serves is installed, before a model is opened.

    Args:
        page: Whether there is a page, too, which needs Gradio.

    Raises:
        ServingError: A package is missing.
    """
    needed = (*PACKAGES, "gradio") if page else PACKAGES
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise ServingError(
            f"serving needs {', '.join(missing).replace('_', '-')}, which is not installed;"
            ' `pip install "isotune[serve]"` installs it.'
        )


def bind(host: str, port: int) -> socket.socket:
    """Takes an address, but does not listen on it yet.

    Args:
        host: An address, or a name.
        port: The port; 0 takes a free one.

    Raises:
        ServingError: There is no such host, the port is taken, or it may not be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ServingError(f"--host: there is no host '{host}'.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        advice = " --port 0 takes a free one." if port else ""
        raise ServingError(
            f"port {port} of {host} cannot be used: {reason(error)}.{advice}"
        ) from error
    return listener


def is_local(listener: socket.socket) -> bool:
    """Whether only this machine can reach the address."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def url(listener: socket.socket) -> str:
    """Returns the address for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if address.version == 6 else f"http://{host}:{port}"


def serve(
    app: FastAPI, listener: socket.socket, limits: Limits, started: Callable[[], None]
) -> None:
    """Serves requests until SIGINT or SIGTERM.

    Then it takes no more connections, and answers the requests that it has taken, for at most
    :data:`GRACE_SECONDS`.

    Args:
        app: The application.
        listener: The socket of :func:`bind`.
        limits: What clients may send.
        started: Called when requests are answered.

    Raises:
        KeyboardInterrupt: A second SIGINT ended it at once.
    """
    import uvicorn

    from isotune.serving.protocol import bounded_protocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started()

        async def shutdown(self, sockets: Any = None) -> None:
            await super().shutdown(sockets)
            if unanswered := len(self.server_state.tasks):
                log.warning("%s not answered.", count(unanswered, "request was", "requests were"))

    config = uvicorn.Config(
        app,
        http=bounded_protocol(limits),
        ws="none",
        log_config=None,
        log_level="critical",  # a client could fill the log; the application logs its own faults
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # for the same reason
    server = Server(config)
    # uvicorn raises the signal that ended it once more, which would be the process's end.
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if server.force_exit:
        raise KeyboardInterrupt


def _ignore(*_: object) -> None:
    """Stands for a signal that has had its effect."""
