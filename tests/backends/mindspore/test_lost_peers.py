"""A process that waits for others in vain ends with a sentence."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

WAITING = """
import ctypes, os, signal
from isotune_mindspore import lost_peers
lost_peers.MISSES = 1
signal.signal(signal.SIGTERM, lambda *_: None)
lost_peers.end_with_peers({"MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": "%d"})
with lost_peers.waiting():
    os.kill(os.getpid(), signal.SIGTERM)
    ctypes.CDLL(None).poll(None, 0, %d)  # as a collective, it heeds no handler
print("went on")
"""


def waits(port: int, milliseconds: int) -> subprocess.CompletedProcess[str]:
    code = WAITING % (port, milliseconds)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_ends_if_the_scheduler_is_gone(port: int) -> None:
    done = waits(port, 300_000)
    assert done.returncode == 1
    assert "isotune: another process of the run has ended" in done.stderr
    assert "isotune resume" in done.stderr


def test_it_goes_on_if_the_scheduler_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        done = waits(scheduler.getsockname()[1], 3_000)
    assert (done.returncode, done.stdout) == (0, "went on\n")
