"""Lists a tar archive by its headers alone, without reading the contents between them."""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from isotune.data.archives.members import Listing, Packing, Place
from isotune.data.archives.tar_stream import CHUNK
from isotune.errors import DatasetError

BLOCK = tarfile.BLOCKSIZE
"""Number of bytes of a header; contents are padded to a multiple of it."""


def begins_with_header(file: BinaryIO) -> bool:
    """Whether a file begins like a tar archive."""
    file.seek(0)
    head = file.read(BLOCK)
    try:
        tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError:
        return len(head) == BLOCK and not any(head)  # an archive of nothing
    return True


def list_tar(file: BinaryIO, listing: Listing) -> None:
    """Lists the entries of an uncompressed tar archive.

    A link stands for the file of the archive that it leads to.

    Args:
        file: The archive.
        listing: Where they are added.

    Raises:
        DatasetError: It is damaged or cut off, or has an entry of an unsafe name.
        tarfile.TarError: It is damaged.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    links: list[tuple[str, str]] = []
    with tarfile.open(fileobj=_Headers(file), mode="r:") as content:  # type: ignore[call-overload]
        for entry in _entries(file, content):
            if isinstance(entry, tarfile.TarInfo):
                _add_other(entry, listing, links)
                continue
            name, place = entry
            if place.offset + place.size > size:
                raise DatasetError(f"it is cut off in its entry '{name}'")
            listing.add(name, place)
        file.seek(content.offset)
    if file.read(BLOCK) != bytes(BLOCK):
        raise DatasetError("it is damaged or cut off: an entry is followed by no other or end")
    if links:
        _add_links(listing, links)


def _entries(
    file: BinaryIO, content: tarfile.TarFile
) -> Iterator[tuple[str, Place] | tarfile.TarInfo]:
    """Yields plain files with their places, and other entries as `tarfile` reads them."""
    position = 0
    while True:
        file.seek(position)
        # A global header holds for all that follow, which only tarfile knows.
        plain = None if content.pax_headers else _plain_file(file.read(BLOCK))
        if plain is not None:
            name, size = plain
            start = position + BLOCK
            position = start + -(-size // BLOCK) * BLOCK
            yield name, Place(Packing.PLAIN, start, size, size)
            continue
        file.seek(position)
        entry = _next(content, position)
        if entry is None:
            return
        if entry.size < 0 or content.offset <= position:
            raise DatasetError(
                f"it is damaged: its entry '{entry.name}' says that it has a negative size"
            )
        position = content.offset
        if entry.isreg() and not entry.issparse():
            yield entry.name, Place(Packing.PLAIN, entry.offset_data, entry.size, entry.size)
        else:
            yield entry


class _Headers:
    """What `tarfile` may read of a file: no header as long as only a malicious one is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= CHUNK:
            raise DatasetError(f"it has a header of {size} bytes")
        return self._file.read(size)


def _plain_file(header: bytes) -> tuple[str, int] | None:
    """Returns name and size of a plain file by its header (POSIX.1-1988 ``ustar``, or GNU's).

    Nearly all headers are of this kind, and `tarfile` takes ten times as long for each. None means
    that it has to judge.
    """
    if (
        len(header) < BLOCK
        or header[156:157] != b"0"
        or header[257:262] != b"ustar"
        or header[345]
        or header[124] & 0x80
    ):
        return None
    try:
        name = header[: header.index(0, 0, 101)].decode("utf-8", "surrogateescape")
        size = int(header[124:136].rstrip(b"\0 "), 8)
        checksum = int(header[148:155].strip(b"\0 "), 8)
    except ValueError:
        return None
    if sum(header) - sum(header[148:156]) + 8 * ord(" ") != checksum or size < 0:
        return None
    return name, size


def _next(content: tarfile.TarFile, position: int) -> tarfile.TarInfo | None:
    """Returns the entry whose header is at a position, with all that it takes from others."""
    content.offset = position
    content.firstmember = None  # type: ignore[attr-defined]
    content.members.clear()  # type: ignore[attr-defined] # a million take a gigabyte
    return content.next()


def _add_other(entry: tarfile.TarInfo, listing: Listing, links: list[tuple[str, str]]) -> None:
    """Adds a folder; adds a link, with the path in the archive that it leads to, to `links`."""
    if entry.isdir():
        listing.add(f"{entry.name.rstrip('/')}/", Place(Packing.FOLDER))
    elif entry.islnk():
        links.append((entry.name, posixpath.normpath(entry.linkname)))
    elif entry.issym():
        folder = posixpath.dirname(entry.name)
        links.append((entry.name, posixpath.normpath(posixpath.join(folder, entry.linkname))))
    else:
        listing.left_out["devices, pipes and sparse files"] += 1


def _add_links(listing: Listing, links: list[tuple[str, str]]) -> None:
    """Adds links as the files that they lead to."""
    members = listing.members()
    numbers = {name: number for number, name in enumerate(members.names)}
    for name, target in links:
        number = numbers.get(target)
        place = Place(*members.places[number].tolist()) if number is not None else None
        if place is None or place.packing == Packing.FOLDER:
            listing.left_out["links to no file in it"] += 1
        else:
            listing.add(name, place)
