"""Says what a file of the wrong kind seems to be, by its first bytes."""

from __future__ import annotations

HEAD = 1024
"""Number of bytes from which a kind is recognized."""

TEXTS = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with 'git lfs pull'"),
    (b"<!doctype html", "an HTML page, perhaps an error message saved by a download"),
    (b"<html", "an HTML page, perhaps an error message saved by a download"),
    (b"<?xml", "an XML document, perhaps an error message saved by a download"),
    (b"{", "a JSON document"),
)
"""First bytes of kinds of text, in lower case, with descriptions."""

BINARIES = (
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x89hdf", "an HDF5 file"),
    (b"\x93numpy", "a NumPy array"),
)
"""First bytes of other kinds of files, in lower case, with descriptions."""


def text_kind(head: bytes) -> str | None:
    """Returns what kind of text a file seems to be, as servers send it in place of a file."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for magic, kind in TEXTS if start.startswith(magic)), None)


def describe(head: bytes) -> str:
    """Returns what a file seems to be, as in "it looks like an HTML page".

    Args:
        head: The first :data:`HEAD` bytes, or the whole of a smaller file.
    """
    if not head:
        return "it is empty"
    kind = text_kind(head)
    if kind is None:
        kind = next((kind for magic, kind in BINARIES if head.lower().startswith(magic)), None)
    if kind is not None:
        return f"it looks like {kind}"
    if head[257:262] == b"ustar":
        return "it looks like a tar archive; unpack it first"
    return "its first bytes belong to no known format"
