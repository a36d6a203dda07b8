"""Addresses as they may be shown: without user names, passwords and queries, which hold tokens."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

LONGEST = 200
"""Number of characters shown of an address."""


def shown(url: str) -> str:
    """Returns scheme, host and path of an address."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:  # a host in brackets that is none, say
        return "the address"
    # Half of a surrogate pair, from a program, fits into no file and on no terminal.
    text = f"{parts.scheme}://{host}{parts.path}".encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def fingerprint(url: str) -> str:
    """Returns text that identifies a whole address and does not reveal it."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
