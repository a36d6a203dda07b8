from __future__ import annotations

import socket
import sys

import pytest

from isotune_torch.network import (
    INTERFACE,
    LOST_SECONDS,
    choose_interface,
    interface,
    local_address,
    watched_connections,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network interfaces of Linux")


def test_an_interface_is_found_by_the_way_to_a_host() -> None:
    assert interface(local_address("localhost")) == "lo"
    assert local_address("no.such.host.invalid") == ""
    assert interface("") is None
    assert interface("192.0.2.1") is None  # an address for documentation, which nobody has


def test_gloo_takes_the_interface_that_reaches_others_unless_one_is_named() -> None:
    """The host of process 0 has a name of its own on the loopback interface, as on Debian."""
    chosen: dict[str, str] = {}
    choose_interface(["127.0.1.1", local_address("127.0.0.1")], "127.0.1.1", chosen)
    assert chosen == {}  # all are on the loopback interface: it is gloo's own choice
    choose_interface([], "127.0.0.1", named := {INTERFACE: "eth7"})
    assert named == {INTERFACE: "eth7"}
    address = local_address("192.0.2.1")  # the way to the rest of the world, if there is one
    if address:
        choose_interface(["127.0.1.1", address], "127.0.1.1", chosen)
        assert chosen == {INTERFACE: interface(address)}


def test_a_lost_machine_ends_only_connections_that_are_watched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as before:
            with watched_connections():
                inside = socket.create_connection(address)
            with inside:
                waits = [
                    each.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                    for each in (before, inside)
                ]
                assert waits == [0, LOST_SECONDS * 1000]
                assert inside.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
