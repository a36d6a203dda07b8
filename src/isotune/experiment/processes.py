"""Starts several processes on this machine that compute one experiment together."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Union

from isotune.errors import BackendError, LostProcessError, RunError, SpecError
from isotune.experiment.agreement import check_divisible
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.progress.console import in_notebook
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder, new_folder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec
from isotune.spec.observer import ObserverSpec

Processes = Union[int, Literal["auto"]]
"""Number of processes; ``auto`` stands for that of the devices."""

MOST = 1024
"""Largest number of processes on a machine."""

STDOUT, STDERR = 1, 2
"""Descriptors of the standard streams."""


@dataclass(frozen=True)
class Start:
    """How processes are started.

    Attributes:
        backend: Name of the backend.
        count: Number of processes, two at least.
        plugins: Where backends are found.
    """

    backend: str
    count: int
    plugins: Plugins

    def isotune(self, arguments: Sequence[str | Path], output: int | None = None) -> None:
        """Runs ``isotune`` with arguments in each of the processes, until all have ended.

        Args:
            arguments: Those of the command line.
            output: Descriptor of process 0's standard output; None for nowhere.

        Raises:
            IsotuneError: What has ended the processes early.
            KeyboardInterrupt: They were interrupted.
        """
        from isotune.distributed.launch import run_processes

        command = ["-m", "isotune", *map(str, arguments)]
        run_processes(
            lambda logs: self.plugins.launch(self.backend, self.count, command, logs),
            self.count,
            output=output,
        )

    def going_on(self, folder: Path, work: Callable[[], None]) -> None:
        """Does work on a run; if a process is lost, the error says how the run continues.

        Raises:
            LostProcessError: A process was killed, say.
        """
        try:
            work()
        except LostProcessError as error:
            if not is_run(folder):
                raise
            raise LostProcessError(
                f"{str(error).removesuffix('.')}; `isotune resume {folder} --processes"
                f" {self.count}` continues the run."
            ) from error


def starting(
    processes: Processes,
    backend: Callable[[], str],
    device: str,
    plugins: Plugins,
    observers: Sequence[object] = (),
) -> Start | None:
    """Returns how to start processes; None if this one is enough.

    Args:
        processes: How many.
        backend: Finds the backend's name, if several are needed.
        device: As for ``isotune.run``.
        plugins: Those of the caller.
        observers: Those of the caller.

    Raises:
        SpecError: Other processes would lack what this one has, or there can be no such number.
        BackendError: The backend cannot be used, or a launcher has started this process.
    """
    if processes == 1:
        return None
    if processes != "auto" and not (isinstance(processes, int) and 1 < processes <= MOST):
        raise SpecError(
            f"processes: is {processes!r}, but should be a number from 1 to {MOST}, or 'auto'."
        )
    if plugins is not default_plugins:
        raise SpecError("processes: they use the installed plugins; leave plugins out.")
    if observers:
        raise SpecError(
            "observers: belong to this process, and the run would be in others: offer them as a"
            " plugin (entry point 'isotune.extensions'), or leave processes out."
        )
    if plugins.launched() is not None:
        raise BackendError(
            "processes: a launcher has started this process as one of several already; leave"
            " processes out."
        )
    if sys.platform == "win32":
        raise BackendError("processes: cannot be started on Windows; use one, or WSL.")
    name = backend()
    count = _devices(name, device, plugins) if processes == "auto" else processes
    return Start(name, count, plugins) if count > 1 else None


@contextmanager
def new_run_folder(start: Start, spec: ExperimentSpec, output: Path | None) -> Iterator[Path]:
    """Yields the folder of a run of several processes, before they start.

    Args:
        start: How they are started.
        spec: The loaded spec.
        output: The folder; by default ``runs/NAME-BACKEND-TIME``, which goes again if it stays
            empty.

    Raises:
        SpecError: So many processes cannot compute the shards of the spec.
    """
    check_divisible(spec.shards, start.count)
    if output is not None:
        yield output
        return
    folder = new_folder(spec.name, start.backend)
    try:
        yield folder
    finally:
        with suppress(OSError):  # it is a run's by now
            folder.rmdir()


def start_run(
    start: Start,
    spec: ExperimentSpec,
    device: str,
    folder: Path,
    *,
    output: int | None = None,
    options: Sequence[str] = (),
) -> None:
    """Runs an experiment in several processes.

    Args:
        start: How they are started.
        spec: The loaded spec.
        device: As for ``isotune.run``.
        folder: The run folder, new or empty.
        output: Descriptor of process 0's standard output; None for nowhere.
        options: More options of ``isotune run``.

    Raises:
        IsotuneError: As for ``isotune.run``.
        KeyboardInterrupt: The run was interrupted.
    """
    from isotune.distributed.launch import private_folder

    with private_folder() as private:
        written = private / "spec.yaml"
        written.write_text(json.dumps(dump_spec(spec)), encoding="utf-8")
        where = ("--backend", start.backend, "--device", device, "--output", folder)
        start.going_on(folder, lambda: start.isotune(["run", written, *where, *options], output))


def start_resume(
    start: Start,
    folder: Path,
    device: str,
    overrides: Sequence[str],
    checkpoint: str,
    logs: Sequence[ObserverSpec] = (),
    *,
    output: int | None = None,
) -> None:
    """Continues a run in several processes; arguments and errors are as of :func:`start_run`."""
    check_divisible(RunFolder.existing(folder).spec().shards, start.count)
    changes = [argument for override in overrides for argument in ("--set", override)]
    for observer in logs:
        changes += ["--log", json.dumps(observer.model_dump(mode="json"))]
    where = ("--backend", start.backend, "--device", device, "--checkpoint", checkpoint)
    start.going_on(folder, lambda: start.isotune(["resume", folder, *where, *changes], output))


def told_to(progress: bool) -> int | None:
    """Returns where process 0 of a run that Python starts shows its progress; None for nowhere."""
    if not progress:
        return None
    return STDOUT if in_notebook() else STDERR


def trained_by(folder: Path, plugins: Plugins) -> str:
    """Returns the name of the backend that has trained a run last.

    Raises:
        RunError: There is no such run, or it is damaged.
        BackendError: It names none, and several can be used.
    """
    run = RunFolder.existing(folder)
    name = CheckpointStore(run.checkpoints).last_backend() or run.summary().backend
    return name or plugins.only_usable()


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run which has begun."""
    try:
        RunFolder.existing(folder)
    except (OSError, RunError):
        return False
    return True


def _devices(backend: str, device: str, plugins: Plugins) -> int:
    """Returns the number of devices of the best kind, or of one by its name."""
    report = plugins.report(backend)
    if report.problem is not None:
        raise BackendError(report.problem)
    wanted = device.strip().lower()
    kind = report.devices[0].split(":")[0] if wanted == "auto" else wanted
    found = [each for each in report.devices if each.split(":")[0] == kind]
    return max(1, len(found))
