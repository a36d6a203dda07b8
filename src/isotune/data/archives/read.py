"""Reads a file in an archive, where it is."""

from __future__ import annotations

import errno
import zlib
from pathlib import Path

from typing_extensions import assert_never

from isotune.data.archives.members import Packing, Place
from isotune.storage.open_files import Version, read_at

MAX_SIZE = 1 << 30
"""Number of bytes that a file in an archive may have, since it is read as a whole: six for each
pixel of the largest image that :data:`isotune.spec.dataset.MAX_PIXELS` allows."""

_LOCAL_HEADER = 30
"""Number of bytes before a member's name in a zip archive (APPNOTE.TXT, 4.3.7)."""


def read_member(archive: Path, version: Version, place: Place) -> bytes:
    """Returns the content of a file in an archive.

    Raises:
        OSError: It cannot be read, is damaged or too large, or the archive has changed.
    """
    packing = Packing(place.packing)
    if max(place.size, place.packed) > MAX_SIZE:
        raise OSError(errno.EFBIG, f"is larger than {MAX_SIZE:,} bytes", str(archive))
    if packing is Packing.PLAIN:
        return _exactly(archive, version, place.offset, place.size)
    header = _exactly(archive, version, place.offset, _LOCAL_HEADER)
    if header[:4] != b"PK\3\4":
        raise _damaged(archive)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    start = place.offset + _LOCAL_HEADER + lengths
    packed = _exactly(archive, version, start, place.packed)
    if packing is Packing.ZIP_STORED:
        content = packed
    elif packing is Packing.ZIP_DEFLATED:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, place.size + 1)
        except zlib.error as error:
            raise _damaged(archive) from error
    elif packing is Packing.FOLDER:
        raise IsADirectoryError(errno.EISDIR, "is a folder", str(archive))
    else:
        assert_never(packing)
    if len(content) != place.size or zlib.crc32(content) != place.checksum:
        raise _damaged(archive)
    return content


def _exactly(archive: Path, version: Version, offset: int, size: int) -> bytes:
    content = read_at(archive, version, offset, size)
    if len(content) != size:
        raise _damaged(archive)
    return content


def _damaged(archive: Path) -> OSError:
    return OSError(errno.EIO, "is damaged in the archive", str(archive))
