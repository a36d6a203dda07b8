"""Counts what a process does while it runs an experiment, and kills it at one of these moments."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import isotune.training.evaluation as evaluation
from isotune.experiment.checkpoint_writer import CheckpointWriter
from isotune.experiment.prepared import PreparedExperiment
from isotune.hookspecs import hookimpl
from isotune.plugins import plugins
from isotune.training.strategy import WholeModel

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}
"""Audit events that change a folder, beside ``open`` for writing."""

OWN_IMPORTS = ("isotune", "numpy_backend")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

PHASES = ("start", "training", "save", "validation", "end")
"""Phases of a process: until its first step, training steps, inside the writing of a checkpoint,
which goes on beside them, inside an evaluation, and after the last epoch."""


class Fatal(NamedTuple):
    """The moment to die at: its phase, and its number in it, from 1."""

    phase: str
    number: int


class Moments:
    """Counts the moments that this process passes, and kills it at one of them.

    They are those of its main thread, and of the thread that writes checkpoints, which are a phase
    of their own: where one of them is when the other one dies depends on the clock.

    Args:
        folder: the run folder.
        home: the home folder of this run.
        fatal: the moment to die at; None survives all.
        told: a file descriptor that receives the name of the moment before death.
    """

    def __init__(self, folder: Path, home: Path, fatal: Fatal | None, told: int) -> None:
        self.passed: list[str] = []
        self._numbers: Counter[str] = Counter()
        self._phase = "start"
        self._folders = (f"{folder}{os.sep}", f"{home}{os.sep}")
        self._fatal, self._told = fatal, told
        self._fsync = os.fsync
        os.fsync = self._flushing  # type: ignore[assignment]
        self._watch_phases()
        sys.addaudithook(self._audit)
        plugins.register(self)

    def _watch_phases(self) -> None:
        finish, evaluate, end = (
            CheckpointWriter._finish,
            WholeModel.evaluate,
            PreparedExperiment._end,
        )
        logits_by_batch = evaluation.logits_by_batch

        def finishing(*arguments: Any) -> None:
            finish(*arguments)
            self._passes("ends")

        def evaluating(strategy: WholeModel) -> Any:
            with self._during("validation"):
                return evaluate(strategy)

        def ending(*arguments: Any, **named: Any) -> None:
            with self._during("end"):
                end(*arguments, **named)

        def batches(*arguments: Any) -> Iterator[Any]:
            for logits in logits_by_batch(*arguments):
                self._passes("batch evaluated")
                yield logits

        CheckpointWriter._finish = finishing  # type: ignore[method-assign]
        WholeModel.evaluate = evaluating  # type: ignore[method-assign]
        PreparedExperiment._end = ending  # type: ignore[method-assign]
        evaluation.logits_by_batch = batches  # type: ignore[assignment]

    @contextmanager
    def _during(self, phase: str) -> Iterator[None]:
        before, self._phase = self._phase, phase
        self._passes("begins")
        yield
        self._passes("ends")
        self._phase = before

    def _passes(self, moment: str, at_death: Callable[[], object] = lambda: None) -> None:
        phase = self._phase
        if threading.current_thread() is not threading.main_thread():
            if threading.current_thread().name != "isotune-save":
                return  # where threads are depends on the clock
            phase = "save"
        self._numbers[phase] += 1
        self.passed.append(f"{phase}: {moment}")
        if self._fatal == (phase, self._numbers[phase]):
            at_death()
            os.write(self._told, self.passed[-1].encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "import":
            if arguments[0].startswith(OWN_IMPORTS):
                self._passes("import")
            return
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if (opens or event in CHANGES) and self._is_ours(arguments[0]):
            self._passes(event)

    def _is_ours(self, path: object) -> bool:
        """Whether a path lies in our folders, or is a bare name: inside a tree in removal."""
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        return f"{text}{os.sep}".startswith(self._folders) or (text != "" and os.sep not in text)

    def _flushing(self, descriptor: int) -> None:
        status = os.fstat(descriptor)

        def tear() -> None:
            if stat.S_ISREG(status.st_mode):
                os.ftruncate(descriptor, status.st_size // 2)

        self._passes("written by half", tear)
        self._fsync(descriptor)
        self._passes("flushed")

    @hookimpl
    def isotune_run_started(self, event: object) -> None:
        self._passes("run started")
        self._phase = "training"

    @hookimpl
    def isotune_step_ended(self, event: object) -> None:
        self._passes("step ended")

    @hookimpl
    def isotune_epoch_ended(self, event: Any) -> None:
        self._passes("epoch ended")

    @hookimpl
    def isotune_run_finished(self, event: object) -> None:
        self._passes("run finished")
