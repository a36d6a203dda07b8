"""A certificate's file: JSON, for tools and for later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from isotune.equivalence.certificates.certificate import Certificate, ComparedDrift
from isotune.equivalence.traces.json_numbers import plain
from isotune.errors import RunError
from isotune.runs.read import damaged, parse_json, read_bytes
from isotune.spec.document import Document
from isotune.spec.messages import explain_first

FORMAT = 1
"""Version of the file."""


def certificate_json(certificate: Certificate) -> str:
    """Returns a certificate as JSON: the fields of :class:`Certificate` by their names.

    A number that is not finite is one of the texts ``NaN``, ``Infinity`` and ``-Infinity``.
    """
    head = {"format": FORMAT, "isotune": version("isotune")}
    return json.dumps({**head, **plain(certificate)}, allow_nan=False, indent=2) + "\n"


def read_certificate(path: str | Path) -> Certificate:
    """Reads a certificate, which a stranger may have made.

    Raises:
        RunError: The file is missing, a link, damaged, no certificate, or of a later version.
    """
    path = Path(path)
    data = read_bytes(path)
    found = parse_json(data, path)
    if not isinstance(found, dict) or "verdict" not in found:
        raise RunError(f"{path}: is no certificate; `isotune certify` writes certificate.json.")
    if found.get("format") != FORMAT:
        number = str(found.get("format"))[:40]
        raise RunError(f"{path}: has format {number}; this Isotune reads format {FORMAT}.")
    try:
        certificate = _adapter().validate_json(data, strict=True)
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":  # half a surrogate pair, which Python takes
            raise damaged(path, "it holds text that is not Unicode") from None
        raise RunError(explain_first(error, Document(found, f"{path}: is damaged"))) from error
    except RecursionError:
        raise damaged(path, "it is nested too deeply") from None
    if certificate.drift is not None and len(set(_lengths(certificate.drift))) > 1:
        raise damaged(path, "its drift should have a value for each step")
    return certificate


def _lengths(drift: ComparedDrift) -> Iterator[int]:
    own = (series for side in drift.themselves for series in side.values())
    yield from map(len, (drift.between, drift.allowed, *drift.losses, *own))


@cache
def _adapter() -> TypeAdapter[Certificate]:
    return TypeAdapter(Certificate)
