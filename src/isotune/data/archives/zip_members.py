"""Lists a zip archive by its central directory."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import BinaryIO

from isotune.data.archives.budget import Budget
from isotune.data.archives.members import Listing, Packing, Place
from isotune.errors import DatasetError

_PACKINGS = {
    zipfile.ZIP_STORED: Packing.ZIP_STORED,
    zipfile.ZIP_DEFLATED: Packing.ZIP_DEFLATED,
}

_ENCRYPTED, _UTF8 = 0x1, 0x800
"""Bits of an entry's flags (APPNOTE.TXT, 4.4.4)."""


def list_zip(file: BinaryIO, archive: Path, listing: Listing) -> None:
    """Lists the entries of a zip archive.

    Args:
        file: The archive.
        archive: Its path.
        listing: Where they are added.

    Raises:
        DatasetError: Entries are encrypted or compressed in an unusual way, together unpack to
            more than :mod:`isotune.data.archives.budget` allows, or have unsafe names.
        zipfile.BadZipFile: It is damaged.
    """
    budget = Budget(archive)
    with zipfile.ZipFile(file) as content:
        for entry in content.infolist():
            budget.spend(entry.file_size)
            name, kind = _name(entry), stat.S_IFMT(entry.external_attr >> 16)
            if name.endswith("/"):
                listing.add(name, Place(Packing.FOLDER))
            elif kind not in (0, stat.S_IFREG):
                listing.left_out["links and devices"] += 1
            else:
                listing.add(name, _place(entry, name))


def _place(entry: zipfile.ZipInfo, name: str) -> Place:
    if entry.flag_bits & _ENCRYPTED:
        raise DatasetError(f"its entry '{name}' is encrypted; save it without a password")
    packing = _PACKINGS.get(entry.compress_type)
    if packing is None:
        raise DatasetError(
            f"its entry '{name}' is compressed by method {entry.compress_type}; pack it again by"
            " 'deflate', or uncompressed"
        )
    size, packed = entry.file_size, entry.compress_size
    return Place(packing, entry.header_offset, size, packed, entry.CRC)


def _name(entry: zipfile.ZipInfo) -> str:
    """Returns an entry's name; macOS writes UTF-8 without the flag that says so."""
    if entry.flag_bits & _UTF8 or entry.filename.isascii():
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename
