"""torchrun, PyTorch's launcher: what it tells a process, and how it is started on one machine.

Importing this file imports no framework.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from isotune.errors import BackendError
from isotune.interfaces.backend import Launch
from isotune.interfaces.communicator import Place

RUN = "TORCHELASTIC_RUN_ID"
"""Set by torchrun alone. Clusters set RANK and WORLD_SIZE too, some of them for machines."""

SHUTDOWN_SECONDS = 120
"""How long torchrun waits for processes that were asked to stop, which save a checkpoint."""


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """Returns which process this one is, by the environment that torchrun gives it.

    Raises:
        BackendError: torchrun has started the process, but a variable is missing or wrong.
    """
    if RUN not in environment:
        return Place()
    processes = _number(environment, "WORLD_SIZE", 1)
    local = _number(environment, "LOCAL_WORLD_SIZE", 1, processes)
    return Place(
        rank=_number(environment, "RANK", 0, processes - 1),
        processes=processes,
        local_rank=_number(environment, "LOCAL_RANK", 0, local - 1),
        local_processes=local,
        restarts=_number(environment, "TORCHELASTIC_RESTART_COUNT", 0),
        most_restarts=_number(environment, "TORCHELASTIC_MAX_RESTARTS", 0),
    )


def launch(processes: int, arguments: Sequence[str], logs: Path) -> Launch:
    """Returns how torchrun starts processes on this machine; see :meth:`BackendOffer.launch`.

    The command ends with the exit code of the process that failed first.
    """
    command = [
        *(sys.executable, "-m", "isotune_torch.launcher"),
        *("--standalone", "--local-addr", "localhost", "--nproc-per-node", str(processes)),
        *("--log-dir", str(logs), "--no-python", sys.executable, *arguments),
    ]
    defaults = {
        # torchrun sets 1 too, with a warning; isotune_torch.threads takes it for no choice.
        "OMP_NUM_THREADS": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS),
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if sys.platform == "linux":
        # The host's name, by which gloo finds an interface, may be that of none of this machine.
        defaults["GLOO_SOCKET_IFNAME"] = "lo"
    return Launch(command, {k: v for k, v in defaults.items() if k not in os.environ})


def _number(environment: Mapping[str, str], name: str, least: int, most: int | None = None) -> int:
    value = environment.get(name)
    if value is None:
        raise BackendError(
            f"the environment has {RUN}, as in a process that torchrun starts, but not {name}:"
            f" start Isotune with torchrun, or remove {RUN}."
        )
    right = f"at least {least}" if most is None else f"from {least} to {most}"
    if value.isascii() and value.isdecimal() and len(value) < 10:
        number = int(value)
        if least <= number and (most is None or number <= most):
            return number
    raise BackendError(
        f"the environment variable {name}, which torchrun sets, is '{value}' and should be a"
        f" number {right}."
    )
