"""Which backends are installed, and which nets each of them can build."""

from __future__ import annotations

from functools import cache, partial

import numpy_backend.plugin
from contract.nets import ENTRIES
from contract.truth import CATALOGUE, images
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.models.build import build_backbone
from isotune.plugins import Plugins
from isotune.testing.subject import Subject


@cache
def plugins() -> Plugins:
    """Returns the plugins of this environment, with the example backend."""
    found = Plugins()
    found.register(numpy_backend.plugin, "numpy")
    return found


@cache
def opened() -> dict[str, Backend | Exception]:
    """Opens every backend whose framework is installed; a broken one is told by its error."""
    found: dict[str, Backend | Exception] = {}
    for name in plugins().backend_names():
        try:
            found[name] = plugins().open_backend(name, "cpu")
        except Exception as error:
            if not lacks_framework(error):
                found[name] = error
    return found


def lacks_framework(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, ModuleNotFoundError) and not str(cause.name).startswith("isotune")


def backends() -> dict[str, Backend]:
    """Returns the backends that work."""
    return {name: found for name, found in opened().items() if isinstance(found, Backend)}


@cache
def subjects() -> dict[str, Subject]:
    """Returns every pair of a backend and a net that it can build, by ``BACKEND-NET``."""
    return {
        f"{backend.name}-{entry.name}": subject(backend, entry)
        for backend in backends().values()
        for entry in (*ENTRIES.values(), *CATALOGUE.values())
        if backend.backbones.builds(entry) or backend.name in entry.builders
    }


def subject(backend: Backend, entry: BackboneEntry) -> Subject:
    model = partial(build_backbone, entry, backend)
    if entry.name in CATALOGUE:
        return Subject(backend, entry, model, images(entry.name))
    return Subject(backend, entry, model)
