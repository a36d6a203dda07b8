"""Lets a framework's launcher start processes on this machine, and watches them.

The launchers differ in how soon they notice a process that has ended, in what they do with signals
and in what they print. So this process watches the others itself, by connections to each
(:mod:`isotune.distributed.parent`), and ends the launcher when they have ended.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from isotune.distributed.parent import VARIABLE
from isotune.distributed.started import StartedProcess
from isotune.errors import BackendError, IsotuneError, LostProcessError, StoppedError
from isotune.interfaces.backend import Launch
from isotune.storage.untrusted import read_small

GRACE = 5.0
"""Seconds that the other processes have after one has failed, to say what they know of it."""

LEAVE = 1.0
"""Seconds that a launcher has to end by itself after its processes."""

LONGEST_PATH = 90
"""Number of bytes of a folder's path up to which a socket in it has a valid address."""

LARGEST_LOG = 1 << 24
"""Number of bytes of a launcher's output that are looked at."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_processes(
    command: Callable[[Path], Launch], processes: int, *, output: int | None = None
) -> None:
    """Runs processes until all have ended.

    A first signal is passed on to process 0, which stops all at the same update. A second SIGINT
    ends them at once.

    Args:
        command: Returns the launcher's command, given a new folder for what it writes.
        processes: Number of processes. They are called by :mod:`isotune.cli`.
        output: Descriptor of process 0's standard output; None for nowhere.

    Raises:
        IsotuneError: A process has ended with an error, which is its own; or was killed.
        KeyboardInterrupt: The processes were interrupted.
    """
    with private_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = folder / "socket"
        listener.bind(str(path))
        listener.listen(processes)
        logs = folder / "logs"
        logs.mkdir()
        with _started(command(logs), path) as (launcher, log), _signals() as received:
            streams = _Streams(output)
            try:
                watch = _Watch(launcher, listener, processes, streams, received)
                watch.wait()
            finally:
                streams.close()
            watch.finish(log)


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yields a new folder that no other user reads, and removes it."""
    with TemporaryDirectory(prefix="isotune-") as name:
        if len(os.fsencode(name)) <= LONGEST_PATH:
            yield Path(name)
            return
    with TemporaryDirectory(prefix="isotune-", dir="/tmp") as name:
        yield Path(name)


@contextmanager
def _started(launch: Launch, path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Starts a launcher in a session of its own; afterwards neither it nor its processes are left.

    Yields:
        The launcher, and the file with what it and its processes print.
    """
    log = path.with_name("launcher.log")
    with log.open("wb") as file:
        launcher = subprocess.Popen(
            list(launch.command),
            env={**os.environ, **launch.environment, VARIABLE: str(path)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield launcher, log
    finally:
        with suppress(subprocess.TimeoutExpired):
            launcher.wait(LEAVE)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects signals in a list instead of letting them end this process."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in SIGNALS
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Streams:
    """Descriptors of standard output and standard error for process 0."""

    def __init__(self, output: int | None) -> None:
        self._null = os.open(os.devnull, os.O_RDWR)
        self.descriptors = (self._null if output is None else output, 2)

    def close(self) -> None:
        os.close(self._null)


class _Watch:
    """Watches processes until all have ended, or one has failed and the others had time to."""

    def __init__(
        self,
        launcher: subprocess.Popen[bytes],
        listener: socket.socket,
        processes: int,
        streams: _Streams,
        received: list[int],
    ) -> None:
        self._launcher, self._listener, self._count = launcher, listener, processes
        self._streams, self._received = streams, received
        self._processes: list[StartedProcess] = []
        self._ended: list[StartedProcess] = []
        self._passed_on = 0
        self._deadline: float | None = None
        self.interrupted = False

    def wait(self) -> None:
        """Waits for the processes; afterwards none of them is left."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                while not self._over():
                    for key, _ in selector.select(0.1):
                        if key.fileobj is self._listener:
                            self._accept(selector)
                        else:
                            self._listen(selector, key.data)
                    self._pass_signals_on()
        finally:
            for process in self._processes:
                process.kill()

    def finish(self, log: Path) -> None:
        """Raises what has ended the processes early, if anything has."""
        if self.interrupted:
            raise KeyboardInterrupt
        told = [each for each in self._processes if each.told and each not in self._ended]
        done = [*self._ended, *told]
        failed = [each for each in done if each.code != 0]
        own = [each.error for each in failed if each.error is not None]
        own.sort(key=lambda error: isinstance(error, StoppedError))  # a failed save comes first
        lost = next((each for each in failed if not each.told), None)
        for error in own:
            if not isinstance(error, LostProcessError):
                raise error
        if failed and failed[0].code == 128 + signal.SIGINT:
            raise KeyboardInterrupt
        if lost is not None:
            raise LostProcessError(
                f"process {lost.rank} of {self._count} was killed, or it crashed."
            )
        for error in own:
            raise error
        if failed:
            raise IsotuneError(f"process {failed[0].rank} ended with exit code {failed[0].code}.")
        if len(done) < self._count:
            code = self._launcher.poll()
            raise BackendError(
                f"the processes did not start: their launcher ended with exit code {code}:"
                f" {_last_line(log)}"
            )

    def _over(self) -> bool:
        if self.interrupted or len(self._ended) == self._count:
            return True
        exited = self._launcher.poll() is not None
        if self._deadline is None:
            failed = any(each.code for each in self._processes)
            failed = failed or not all(each.told for each in self._ended)
            settled = sum(each.told for each in self._processes) == self._count
            if failed or settled or exited:
                self._deadline = time.monotonic() + GRACE
            return False
        nobody = exited and len(self._ended) == len(self._processes)
        return nobody or time.monotonic() > self._deadline

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection, _ = self._listener.accept()
        process = StartedProcess(connection)
        self._processes.append(process)
        selector.register(connection, selectors.EVENT_READ, process)

    def _listen(self, selector: selectors.BaseSelector, process: StartedProcess) -> None:
        known = process.rank is not None
        if process.receive():
            if not known and process.rank is not None:
                process.give(self._streams.descriptors if process.rank == 0 else ())
            return
        selector.unregister(process.connection)
        self._ended.append(process)

    def _pass_signals_on(self) -> None:
        for number in self._received[self._passed_on :]:
            first = next((p for p in self._processes if p.rank == 0 and not p.told), None)
            again = number == signal.SIGINT and self._passed_on > 0
            if first is None or again:
                self.interrupted = True
            else:
                first.signal(number)
            self._passed_on += 1


def _last_line(log: Path) -> str:
    with suppress(OSError):
        text = read_small(log, LARGEST_LOG).decode(errors="replace")
        if lines := text.strip().splitlines():
            return lines[-1]
    return "it printed nothing."
