"""What surrounds a page: the names that its code takes for granted, and a service that answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import isotune
from command_line import exit_code
from documented.changes import SMALLER


@dataclass
class Stage:
    """The surroundings of a page.

    Attributes:
        names: of its blocks of Python, one after another.
        replaced: texts, and what stands in their place when they run.
    """

    names: dict[str, Any]
    replaced: dict[str, str]

    def runnable(self, text: str) -> str:
        """Returns a command or a block of Python as a test runs it."""
        for written, other in self.replaced.items():
            text = text.replace(written, other)
        return text


@contextmanager
def set_for(page: str) -> Iterator[Stage]:
    """Makes what a page says in words before its code."""
    module = sys.modules["documented_page"] = ModuleType("documented_page")  # as dataclasses ask
    module.__dict__["isotune"] = isotune
    smaller = [texts for start, texts in SMALLER.items() if page.startswith(start)]
    stage = Stage(vars(module), {key: value for texts in smaller for key, value in texts.items()})
    if page == "docs/data.md":  # images with several labels
        stage.names["run"] = isotune.open_run("SEVERAL")
    if page == "docs/checkpoints.md":
        stage.names["model"] = isotune.open_run("RUN").model
    if page == "docs/traces.md":
        assert exit_code("certify", "spec.yaml", "--on", "torch:cpu", "--record", "a.trace") == 0
    if page == "docs/serve.md":
        with _served() as address:
            stage.replaced["http://127.0.0.1:8000"] = address
            yield stage
            return
    yield stage


@contextmanager
def _served() -> Iterator[str]:
    """Serves a model in a process of its own, at a free port."""
    command = [sys.executable, "-m", "isotune", "serve", "model.onnx", "--port", "0", "--no-page"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().partition(" ")[0]
        finally:
            process.terminate()
