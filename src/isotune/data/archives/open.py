"""Opens archives to read their files in place."""

from __future__ import annotations

import json
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.data.archives.members import Listing, Members
from isotune.data.archives.tar_members import begins_with_header, list_tar
from isotune.data.archives.zip_members import list_zip
from isotune.data.caches.indexes import cached_index
from isotune.data.names import Names
from isotune.errors import DatasetError
from isotune.storage.signatures import HEAD, describe
from isotune.storage.untrusted import open_regular

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
"""First bytes of files that are compressed as a whole: gzip, bzip2, xz, Zstandard."""


def open_archive(path: Path) -> Members:
    """Returns what is in a zip or an uncompressed tar archive.

    What is in a large one is cached until it changes.

    Raises:
        DatasetError: It is missing, no archive, compressed as a whole, damaged, encrypted, a
            decompression bomb, or has an entry of an unsafe name.
    """

    def build() -> dict[str, NDArray[Any]]:
        members = list_archive(path)
        left_out = np.frombuffer(json.dumps(dict(members.left_out)).encode(), np.uint8)
        names = members.names
        return {"text": names.text, "ends": names.ends, "places": members.places, "left": left_out}

    index = cached_index(path, "members of an archive", build)
    left: Mapping[str, int] = json.loads(index["left"].tobytes())
    names, stamp = Names(index["text"], index["ends"]), index["stamp"].tolist()
    return Members(names, index["places"], left, tuple(stamp))


def list_archive(path: Path) -> Members:
    """Lists the entries of an archive as :func:`open_archive` does, always reading it."""
    listing = Listing()
    try:
        with open_regular(path, follow=True) as file:
            _list(file, path, listing)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}.") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path}: it is damaged: {error}.") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DatasetError(f"{path}: cannot be read as an archive: {reason}.") from error
    except (EOFError, RuntimeError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as an archive: {error}.") from error
    return listing.members()


def _list(file: BinaryIO, path: Path, listing: Listing) -> None:
    head = file.read(HEAD)
    if head.startswith(_COMPRESSED):
        raise DatasetError(
            "it is compressed as a whole, so that no image in it can be read without all before it;"
            " unpack it, or only uncompress it to a plain .tar"
        )
    # Tar first: a tar archive may end in bytes that look like the end of a zip archive.
    if begins_with_header(file):
        list_tar(file, listing)
    elif zipfile.is_zipfile(file):
        list_zip(file, path, listing)
    elif head.startswith(b"PK\3\4"):
        raise DatasetError("it is a zip archive that is cut off, without the list of its entries")
    else:
        raise DatasetError(f"it is neither a zip nor a tar archive: {describe(head)}")
