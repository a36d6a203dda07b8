"""Starts groups of processes that train the same cases, and reads what each has come to."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.interfaces.backend import Launch
from isotune.interfaces.communicator import Place
from isotune.interfaces.trainer import HostOutputs
from isotune.plugins import plugins
from isotune.storage.waiting import exclusive
from isotune.testing.cases import CASES, KINDS, Phase
from isotune.testing.contract import Contract
from isotune.testing.divided import Computed
from isotune.testing.subject import in_bytes

LIMIT = 600
"""Seconds after which a group counts as stuck."""

DONE = "done"
"""Name of the file that says that a group has ended well."""

CASES_OF = {
    2: ("alone", "whole", "plain_alone", "plain", "shared", "fast"),
    4: ("whole", "shared", "pairs", "fast_shared"),
}
"""The cases that a group trains, by its number of processes."""


@dataclass(frozen=True)
class Member:
    """What one process of a group has come to.

    Attributes:
        place: Which one it is.
        found: Its results by name; see :mod:`isotune.testing.worker`.
    """

    place: Place
    found: Mapping[str, NDArray[Any]]

    def state(self, case: str, phase: Phase, kind: str) -> dict[str, NDArray[Any]]:
        """Returns the tensors of a kind, at the end of a phase."""
        prefix = f"{case}/{phase.name}/{kind}/"
        return {n.removeprefix(prefix): v for n, v in self.found.items() if n.startswith(prefix)}

    def states(self, case: str, phase: Phase) -> Any:
        """Returns the tensors of all kinds, in bytes."""
        return [in_bytes(self.state(case, phase, kind)) for kind in KINDS]

    def computed(self, name: str, phase: Phase) -> list[Computed]:
        """Returns the steps of a phase with their results."""
        case, results = CASES[name], list[Computed]()
        for update in phase.updates:
            for step in update.part_steps(case.plan, case.division(self.place)):
                at = f"{name}/{phase.name}/{step.plan.step}/{step.part.index}"
                loss, norm = self.found[f"{at}/scalars"]
                logits = self.found[f"{at}/logits"]
                results.append((step, HostOutputs(logits, float(loss), float(norm))))
        return results


def run_group(
    contract: type[Contract], processes: int, temporary: pytest.TempPathFactory
) -> list[Member]:
    """Starts processes of a contract's backend and returns what each of them has come to.

    Workers of pytest-xdist start them once, for all.

    Args:
        contract: The test class. Its file is loaded in every process.
        processes: Number of processes.
        temporary: Makes temporary folders.
    """
    file, name = Path(inspect.getfile(contract)), contract.__name__
    root = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # that of all workers
    folder = root / f"{file.stem}-{name}-{processes}"
    with exclusive(folder):
        if not (folder / DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that has failed
            logs = folder / "logs"
            logs.mkdir(parents=True)
            arguments = ["-m", "isotune.testing.worker", str(file), name, str(folder)]
            arguments += CASES_OF[processes]
            _run(plugins.launch(contract.backend_name, processes, arguments, logs), logs)
            (folder / DONE).touch()
    members = []
    for rank in range(processes):
        with np.load(folder / f"{rank}.npz", allow_pickle=False) as found:
            members.append(Member(Place(rank, processes), dict(found)))
    return members


def in_order(members: Sequence[Member], case: str, phase: Phase) -> list[Computed]:
    """Returns the steps of all processes with their results, by step and part."""
    computed = [each for member in members for each in member.computed(case, phase)]
    return sorted(computed, key=lambda each: (each[0].plan.step, each[0].part.index))


def _run(launch: Launch, logs: Path) -> None:
    path = os.pathsep.join(each for each in sys.path if each)
    process = subprocess.Popen(
        launch.command,
        env={**os.environ, **launch.environment, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        printed = f"they have not ended within {LIMIT} seconds".encode()
    finally:
        _end(process)
    if process.returncode:
        texts = [
            printed,
            *(path.read_bytes() for path in sorted(logs.rglob("*")) if path.is_file()),
        ]
        report = "\n".join(text.decode(errors="replace")[-4000:] for text in texts)
        pytest.fail(f"processes have failed: {' '.join(launch.command)}\n{report}", pytrace=False)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the launcher and of the processes of its session."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
