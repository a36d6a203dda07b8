"""Starts several processes of a backend, each of which runs a function of a test module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from isotune.interfaces.backend import Backend
from isotune.plugins import plugins

LIMIT = 240
"""Seconds after which a test does not wait any longer."""


def start(backend: str, processes: int, work: Callable[[Backend, Path], None], folder: Path) -> str:
    """Lets all processes do `work`, and returns what they and their launcher have printed.

    Args:
        backend: Name of the backend.
        processes: Number of processes.
        work: A function at the top level of a test module. It gets the backend, whose communicator
            reaches the other processes, and `folder`.
        folder: An empty folder.
    """
    logs = folder / "logs"
    code = work.__code__
    arguments = [__file__, backend, code.co_filename, work.__name__, str(folder)]
    launch = plugins.launch(backend, processes, arguments, logs)
    path = os.pathsep.join(each for each in sys.path if each)
    process = subprocess.Popen(
        launch.command,
        env={**os.environ, **launch.environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=LIMIT)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    for path_of_log in sorted(logs.rglob("*.log")):
        printed += path_of_log.read_text(errors="replace")
    assert process.returncode == 0, printed
    return printed


def main(name: str, module: str, function: str, folder: str) -> None:
    """Does the work in one of the processes."""
    backend = plugins.open_backend(name, "cpu", join=True)
    spec = spec_from_file_location(Path(module).stem, module)
    assert spec is not None and spec.loader is not None
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    with backend.isolated():
        getattr(loaded, function)(backend, Path(folder))
        backend.communicator.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
