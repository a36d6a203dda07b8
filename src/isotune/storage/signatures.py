"""Says what a file of the wrong kind seems to be, by its first bytes."""

from __future__ import annotations

HEAD = 1024
"""Number of bytes from which a kind is recognized."""

KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with 'git lfs pull'"),
    (b"<!doctype html", "an HTML page, perhaps an error message saved by a download"),
    (b"<html", "an HTML page, perhaps an error message saved by a download"),
    (b"<?xml", "an XML document, perhaps an error message saved by a download"),
    (b"{", "a JSON document"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"\x89hdf", "an HDF5 file"),
    (b"\x93numpy", "a NumPy array"),
)
"""First bytes of kinds of files, in lower case, with descriptions."""


def describe(head: bytes) -> str:
    """Returns what a file seems to be, as in "it looks like an HTML page".

    Args:
        head: The first :data:`HEAD` bytes, or the whole of a smaller file.
    """
    if not head:
        return "it is empty"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, description in KINDS:
        if start.startswith(magic):
            return f"it looks like {description}"
    if head[257:262] == b"ustar":
        return "it looks like a tar archive; unpack it first"
    return "its first bytes belong to no known format"
