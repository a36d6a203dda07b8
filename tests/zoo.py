"""The contract's nets as backbones that a plugin offers, and runs of them on any backend."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

import isotune
from contract.nets import ENTRIES
from isotune import hookimpl
from isotune.experiment.result import Run
from isotune.interfaces.backbone import BackboneEntry
from isotune.plugins import Plugins
from tiny import numpy_plugins

FRAMEWORKS = ["torch", "mindspore"]
ALL = [*FRAMEWORKS, "numpy"]


@cache
def plugins(backend: str) -> Plugins:
    """Returns plugins among which somebody offers backbones of their own."""

    class Zoo:
        @hookimpl
        def isotune_backbones(self) -> list[BackboneEntry]:
            own = {"linear"} if backend == "numpy" else set()
            return [entry for name, entry in ENTRIES.items() if name not in own]

    found = numpy_plugins() if backend == "numpy" else Plugins()
    found.register(Zoo())
    return found


def run(backend: str, spec: dict[str, Any], output: Path, **arguments: Any) -> Run:
    if backend in FRAMEWORKS:
        pytest.importorskip(backend)
    return isotune.run(
        spec,
        backend=backend,
        device="cpu",
        output=output,
        plugins=plugins(backend),
        **arguments,
    )
