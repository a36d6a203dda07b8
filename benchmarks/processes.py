"""Runs a command in a new process and measures it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNIT = 1 if sys.platform == "darwin" else 1024
"""Unit of ``ru_maxrss``, in bytes."""

BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""Installed packages have bytecode; to compile a checkout in each process takes half a second."""


@dataclass(frozen=True)
class Ended:
    """A process that ended without an error.

    Attributes:
        wall: seconds from its start to its end, including interpreter and imports.
        peak_mib: peak resident set size of the process or of one of its children, in MiB.
        output: its standard output.
        cpu: seconds that it and its children computed, on all CPUs together.
    """

    wall: float
    peak_mib: float
    output: str
    cpu: float

    @property
    def last_line(self) -> str:
        return self.output.rstrip().rpartition("\n")[2]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
    """Runs a command and waits for it.

    Raises:
        SystemExit: the command failed. The message ends with its last output.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        born = time.time()
        # This process must stay small: until it calls exec, a child counts as large as its parent.
        process = subprocess.Popen(
            list(command),
            stdout=out,
            stderr=err,
            env={**os.environ, **BYTECODE, **(environment or {}), "BENCHMARK_BORN": repr(born)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.time() - born
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        output = out.read()
        if process.returncode:
            message = (err.read() or output)[-2000:]
            raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}:\n{message}")
    cpu = usage.ru_utime + usage.ru_stime
    return Ended(wall, usage.ru_maxrss * UNIT / 2**20, output, cpu)
