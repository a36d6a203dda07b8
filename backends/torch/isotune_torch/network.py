"""The network between machines: which interface gloo takes, and when a machine counts as lost."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

INTERFACE = "GLOO_SOCKET_IFNAME"
"""Names the interface whose address gloo tells the other machines."""

LOST_SECONDS = 30
"""Seconds after which a machine that no longer answers counts as lost.

Its kernel answers for a process that is busy, however long. Linux itself gives up after about 15
minutes.
"""

_GET_ADDRESS = 0x8915
"""SIOCGIFADDR of ``linux/sockios.h``: the IPv4 address of an interface."""


def local_address(host: str) -> str:
    """Returns this machine's address on the way to another host, "" if there is no way.

    Nothing is sent.
    """
    with suppress(OSError):
        family, kind, protocol, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    return ""


def choose_interface(
    addresses: Sequence[str], own: str, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Lets gloo use the interface that reaches the other machines, unless the user has named one.

    By itself it takes the address of the host's name, which many systems map to the loopback
    interface, where no other machine reaches it.

    Args:
        addresses: What :func:`local_address` returned in each process for the host of process 0.
        own: The one of them that belongs to this process. It may be a loopback address on that
            host itself.
        environment: Where gloo looks for the interface.
    """
    if own and ip_address(own).is_loopback:
        others = [each for each in addresses if each and not ip_address(each).is_loopback]
        own = local_address(others[0]) if others else ""
    name = interface(own)
    if name:
        environment.setdefault(INTERFACE, name)


def interface(address: str) -> str | None:
    """Returns the name of the interface that has an IPv4 address; None if none is found."""
    if sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # it has none
                request = struct.pack("256s", name.encode()[:15])
                found = fcntl.ioctl(probe.fileno(), _GET_ADDRESS, request)[20:24]
                if socket.inet_ntoa(found) == address:
                    return name
    return None


@contextmanager
def watched_connections() -> Iterator[None]:
    """Lets connections that are made in this context fail once the other machine is lost.

    gloo offers no setting for that. Does nothing where open files cannot be listed.
    """
    before = _sockets()
    yield
    for descriptor in _sockets() - before:
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                connection.getpeername()  # raises OSError where nobody is connected
                _watch(connection)


def _watch(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, LOST_SECONDS // 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, LOST_SECONDS // 6)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST_SECONDS * 1000)


def _sockets() -> set[int]:
    """Returns the descriptors of this process's sockets."""
    found = set()
    with suppress(OSError):
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()).startswith("socket:"):
                    found.add(int(entry.name))
    return found
