"""Starts several processes on this machine that share a sweep, and listens to them."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from isotune import errors
from isotune.errors import IsotuneError, RunError, StoppedError
from isotune.experiment.sweeps.job import Job
from isotune.experiment.sweeps.results import write_results
from isotune.experiment.sweeps.study import Study
from isotune.interfaces.sweep import Trial, TrialEnded
from isotune.plugins import Plugins
from isotune.training.stop import stop_on_signals

MODULE = "isotune.experiment.sweeps.worker"

POLL = 0.2
"""Seconds between looks at whether a signal has come."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that bound the threads of numeric libraries where processes cannot be bound to CPUs."""


def run_workers(
    job: Job, workers: int, observers: Sequence[object], plugins: Plugins
) -> list[Trial]:
    """Lets processes train trials until as many have ended as should.

    A signal stops all of them; what they train is saved. If one is killed, another takes its trial
    over.

    Args:
        job: The sweep.
        workers: Number of processes.
        observers: Notified of the trials.
        plugins: Notified, too.

    Raises:
        StoppedError: They were asked to stop.
        IsotuneError: What ended one of them.
    """
    study = Study(job)
    messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
    failed: IsotuneError | None = None
    with stop_on_signals() as stop, _started(job, workers, messages) as processes:
        running = workers
        asked = False
        while running:
            if (stop.requested or failed is not None) and not asked:
                asked = True
                _stop(processes)
            try:
                message = messages.get(timeout=POLL)
            except queue.Empty:
                continue
            if message is None:
                running -= 1
            elif "error" in message:
                failed = failed or _error(message)
            else:
                plugins.notify("isotune_trial_ended", _event(job, message), observers)
    trials = write_results(study)
    if stop.requested:
        raise StoppedError(f"stopped by {stop.reason}; all trials are saved.")
    if failed is not None:
        raise failed
    codes = [process.wait() for process in processes]
    if any(codes) and sum(trial.state != "running" for trial in trials) < job.trials:
        raise RunError(
            f"{job.folder.path}: a worker ended with exit code {next(filter(None, codes))}, and"
            " trials are left; the same command goes on."
        )
    return trials


@contextmanager
def _started(
    job: Job, workers: int, messages: queue.Queue[dict[str, Any] | None]
) -> Iterator[list[subprocess.Popen[str]]]:
    """Starts the processes, whose messages come in a queue, and None from each that has ended."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in range(workers):
            with _share(number, workers) as environment:
                process = subprocess.Popen(
                    [sys.executable, "-m", MODULE],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=environment,
                    encoding="utf-8",
                )
            processes.append(process)
            assert process.stdin is not None
            process.stdin.write(json.dumps(job.as_json()) + "\n")
            process.stdin.flush()
            threading.Thread(target=_listen, args=(process, messages), daemon=True).start()
        yield processes
    finally:
        _stop(processes)
        for process in processes:
            process.wait()


def _listen(process: subprocess.Popen[str], messages: queue.Queue[dict[str, Any] | None]) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            messages.put(json.loads(line))
    messages.put(None)


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Asks the processes to stop after their next step, by the end of their input."""
    for process in processes:
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()


@contextmanager
def _share(number: int, workers: int) -> Iterator[dict[str, str]]:
    """Gives processes that start in the block their part of the CPUs.

    Yields:
        The environment of such a process.
    """
    if sys.platform != "linux":
        threads = str(max(1, (os.cpu_count() or 1) // workers))
        yield {**dict.fromkeys(THREADS, threads), **os.environ}
        return
    before = os.sched_getaffinity(0)
    cpus = sorted(before)
    os.sched_setaffinity(0, cpus[number % len(cpus) :: workers])
    try:
        yield dict(os.environ)
    finally:
        os.sched_setaffinity(0, before)


def _error(message: dict[str, Any]) -> IsotuneError:
    kind = getattr(errors, message["error"], IsotuneError)
    return kind(*message["lines"])


def _event(job: Job, message: dict[str, Any]) -> TrialEnded:
    trial = Trial(**message["trial"])
    return TrialEnded(**{**message, "folder": job.folder.path, "trial": trial})
