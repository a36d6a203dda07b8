"""MindSpore's launcher ``msrun``: how it starts processes, and what it tells them.

Nothing here imports MindSpore, except in the scheduler's process.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from isotune.errors import BackendError
from isotune.interfaces.backend import Launch
from isotune.interfaces.communicator import Place

NODE_TIMEOUT = 10
"""Seconds without a sign of life after which the scheduler takes a process for lost. ``msrun``
waits for that whenever a process has failed; MindSpore's own default is 30."""

RETRY_SECONDS = 1
"""Interval at which processes try to register and to leave, for which MindSpore's own default is 3
to 5. Two processes, on 2 cores, start and end in 17 s instead of 24."""


def read_place(environment: Mapping[str, str]) -> Place:
    """Returns which process this one is, from what ``msrun`` has set in the environment.

    Raises:
        BackendError: The processes have no numbers, or a number makes no sense.
    """
    if environment.get("MS_ROLE") != "MS_WORKER":
        return Place()
    processes = _number(environment, "MS_WORKER_NUM", 1)
    rank = _number(environment, "MS_NODE_ID", 0)
    local_rank = _number(environment, "DEVICE_ID", 0)
    return Place(rank, processes, local_rank, _local_processes(local_rank))


def launch(processes: int, arguments: Sequence[str], logs: Path) -> Launch:
    """Returns the ``msrun`` that starts processes on this machine.

    It writes what they print to files of `logs` (``worker_0.log``, ``scheduler.log``), and what
    process 0 prints to its own standard output too. It ends with an error as soon as one of them
    has, after it has killed the others.

    ``msrun`` runs the ``python`` on PATH and nothing else, so that this interpreter has to be the
    first one there. Variables that the user has set stay.
    """
    command = [sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={processes}"]
    command += [f"--local_worker_num={processes}", f"--master_port={_free_port()}", "--join=True"]
    command += [f"--log_dir={logs}", "--tail_worker_log=0"]
    folder, environment = Path(sys.executable).parent, os.environ
    name = next((name for name in ("python", "python3") if (folder / name).exists()), "python")
    settings = {
        "PATH": os.pathsep.join([str(folder), environment.get("PATH", os.defpath)]),
        "MS_NODE_TIMEOUT": environment.get("MS_NODE_TIMEOUT", str(NODE_TIMEOUT)),
    }
    for end in ("LOWER", "UPPER"):
        variable = f"MS_RETRY_INTERVAL_{end}"
        settings[variable] = environment.get(variable, str(RETRY_SECONDS))
    return Launch([*command, name, *arguments], settings)


def is_scheduler(environment: Mapping[str, str]) -> bool:
    """Whether ``msrun`` has started this process to bring the others together, not to compute.

    It runs the same program as they do.
    """
    return environment.get("MS_ROLE") == "MS_SCHED"


def is_only_worker(environment: Mapping[str, str]) -> bool:
    """Whether ``msrun`` has started this process and no other one that computes."""
    return environment.get("MS_ROLE") == "MS_WORKER" and read_place(environment).alone


def serve() -> NoReturn:
    """Brings the others together until they have ended; then ends this process.

    Raises:
        SystemExit: With 0 if all have ended well.
    """
    import mindspore as ms
    from mindspore import communication

    ms.set_device("CPU")
    try:
        communication.init()
    except RuntimeError:  # the processes themselves say what has happened
        raise SystemExit(1) from None
    raise SystemExit(0)


def _local_processes(local_rank: int) -> int:
    """Returns how many processes this machine has, which ``msrun`` says in its own command only.

    Where that cannot be read, it is the number of those up to this one.
    """
    try:
        command = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        command = ""
    found = re.search(r"--local_worker_num[=\0](\d+)", command)
    return max(local_rank + 1, int(found[1]) if found else 0)


def _number(environment: Mapping[str, str], name: str, least: int) -> int:
    text = environment.get(name, "")
    if not text.isdecimal() or int(text) < least:
        raise BackendError(
            f"{name}: is '{text}' in the environment, where a number from {least} is needed: start"
            " the processes by msrun, with --node_rank on several machines."
        )
    return int(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
