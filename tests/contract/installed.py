"""Which backends are installed, and which nets each of them can build."""

from __future__ import annotations

from functools import cache

import numpy_backend.plugin
from contract.nets import ENTRIES
from contract.subject import Subject
from contract.truth import CATALOGUE
from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.plugins import Plugins


@cache
def plugins() -> Plugins:
    """Returns the plugins of this environment, with the tests' own backend."""
    found = Plugins()
    found.register(numpy_backend.plugin, "numpy")
    return found


@cache
def backends() -> dict[str, Backend]:
    """Opens every backend whose framework is installed; a broken one is an error here."""
    opened = {}
    for name in plugins().backend_names():
        try:
            opened[name] = plugins().open_backend(name, "cpu")
        except BackendError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError):
                raise
    return opened


@cache
def subjects() -> dict[str, Subject]:
    """Returns every pair of a backend and a net that it can build, by ``BACKEND-NET``."""
    pairs = [
        Subject(backend, entry)
        for backend in backends().values()
        for entry in (*ENTRIES.values(), *CATALOGUE.values())
        if entry.name in backend.backbones.names() or backend.name in entry.builders
    ]
    return {f"{pair.backend.name}-{pair.entry.name}": pair for pair in pairs}
