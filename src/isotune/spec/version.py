"""The version of specs: what a spec of another one means is decided here, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from isotune.errors import SpecError
from isotune.spec.document import Document

KEY = "isotune"
"""The field of a spec that holds its version."""

VERSION = 1
"""The version of specs that this Isotune writes. It is raised when a key is renamed or removed, or
comes to mean something else; new keys with a default leave it as it is."""


def current(document: Document) -> Document:
    """Returns a document as a spec of :data:`VERSION`, which it then names.

    A spec without a version is of version 1, as all were before they had one. Everything that
    reads a spec, written by hand or stored, passes here before its fields are looked at: version 2
    rewrites here what version 1 says, and nothing else knows of it.

    Args:
        document: The document. What is no mapping, or has a version that is none, is returned as it
            is: checking its fields says what is wrong.

    Raises:
        SpecError: It is of a later version, which only a later Isotune knows.
    """
    data = document.data
    if not isinstance(data, dict):
        return document
    version = data.get(KEY, 1)
    if type(version) is int and version > VERSION:
        raise SpecError(
            f"{document.where((KEY,))}: {KEY} is {version}, but this Isotune reads specs up to"
            f" version {VERSION}: it needs a later one; `pip install --upgrade isotune` installs"
            " it."
        )
    return replace(document, data={KEY: version, **data})
