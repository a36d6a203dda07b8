"""Archives that mean no good, and how to make archives at all."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def make_zip(path: Path, entries: dict[str, str], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return path


def make_tar(path: Path, *entries: tuple[str, Any], mode: str = "w:gz") -> Path:
    """Entries are (name, content), or (name, (type, target))."""
    with tarfile.open(path, mode) as archive:
        for name, value in entries:
            entry = tarfile.TarInfo(name)
            data = b""
            if isinstance(value, str):
                data = value.encode()
                entry.size = len(data)
            else:
                entry.type, entry.linkname = value
            archive.addfile(entry, io.BytesIO(data))
    return path


def zip_bytes(entries: Mapping[str, bytes]) -> bytes:
    """Returns a compressed zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo("_")
            entry.filename = name  # an empty one, too
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def tar_bytes(
    entries: Mapping[str, bytes | tuple[bytes, str]], extra: bytes = b"", mode: str = "w:gz"
) -> bytes:
    """Returns a tar archive of files, or links as (type, target), with `extra` behind its end."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.type, entry.linkname = content
                archive.addfile(entry)
    return gzip.compress(plain.getvalue() + extra) if mode == "w:gz" else plain.getvalue()


def header(name: str, kind: bytes, size: int) -> bytes:
    """Returns the header of a tar entry that says it has `size` bytes."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.GNU_FORMAT)


def lying_zip() -> bytes:
    """Returns a zip archive whose entry of 2 MiB says that it has 100 bytes."""
    content = zip_bytes({"a": bytes(2 << 20)})
    return content.replace((2 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))


SOFT, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
HOSTILE: dict[str, Callable[[Path], Path]] = {
    "zip-parent": lambda path: make_zip(path, {"a/../../evil": "x"}),
    "zip-absolute": lambda path: make_zip(path, {"/evil": "x"}),
    "zip-backslash": lambda path: make_zip(path, {"..\\evil": "x"}),
    "zip-drive": lambda path: make_zip(path, {"C:/evil": "x"}),
    "zip-link": lambda path: make_zip(path, {"a": "/etc"}, stat.S_IFLNK | 0o777),
    "tar-parent": lambda path: make_tar(path, ("../evil", "x")),
    "tar-absolute": lambda path: make_tar(path, ("/evil", "x")),
    "tar-soft-out": lambda path: make_tar(path, ("a", (SOFT, "../outside"))),
    "tar-soft-absolute": lambda path: make_tar(path, ("a", (SOFT, "/etc/passwd"))),
    "tar-hard-out": lambda path: make_tar(path, ("a", (HARD, "../outside"))),
    "tar-write-through": lambda path: make_tar(path, ("a", (SOFT, "..")), ("a/evil", "x")),
    "tar-soft-chain": lambda path: make_tar(
        path, ("a", (SOFT, ".")), ("b", (SOFT, "a/../outside")), ("c", (SOFT, "b"))
    ),
    "tar-device": lambda path: make_tar(path, ("a", (tarfile.CHRTYPE, ""))),
    "tar-pipe": lambda path: make_tar(path, ("a", (tarfile.FIFOTYPE, ""))),
}

MIB = 1 << 20
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip": (lambda: zip_bytes({"a": bytes(2 * MIB)}), "bomb"),
    "zip-lying": (lying_zip, "damaged"),
    "zip-many-entries": (lambda: zip_bytes({str(n): b"" for n in range(60)}), "more than 50 ent"),
    "zip-many-files": (lambda: zip_bytes({str(n): bytes(MIB // 20) for n in range(30)}), "bomb"),
    "tar": (lambda: tar_bytes({"a": bytes(2 * MIB)}), "bomb"),
    "tar-plain-lying": (lambda: header("a", tarfile.REGTYPE, 1 << 40), "bomb"),
    "tar-sparse": (lambda: header("a", tarfile.GNUTYPE_SPARSE, 1 << 40), "bomb"),
    "tar-many-entries": (lambda: tar_bytes({str(n): b"" for n in range(60)}), "more than 50 ent"),
    "tar-links": (
        lambda: tar_bytes(
            {"a": bytes(MIB // 4), **{str(n): (tarfile.LNKTYPE, "a") for n in range(9)}}
        ),
        "bomb",
    ),
    "tar-long-name": (
        lambda: gzip.compress(header("a", tarfile.GNUTYPE_LONGNAME, 9 * MIB) + bytes(9 * MIB)),
        "header of",
    ),
    "tar-pax": (
        lambda: gzip.compress(header("a", tarfile.XHDTYPE, 9 * MIB) + bytes(9 * MIB)),
        "header of",
    ),
    "tar-tail": (lambda: tar_bytes({"a": b"x"}, extra=bytes(9 * MIB)), "bomb"),
}
"""Bombs where an archive may unpack to a MiB and fifty entries, with what is said of them."""
