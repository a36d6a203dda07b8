"""Unpacks archives that nobody vouches for: nothing is ever written outside of the folder."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from isotune.errors import DatasetError


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or (compressed) tar archive into an empty folder.

    Only folders and plain files are made. A link to another file of the archive becomes that
    file once more, so that no link is ever there to be written through.

    Raises:
        DatasetError: it is no archive, is damaged, or an entry is not what a dataset needs:
            a path out of the folder, a link elsewhere, a device, more than the disk can hold.
    """
    try:
        # Not the other way round: a tar file may end in what looks like the end of a zip.
        if tarfile.is_tarfile(archive):
            _unpack_tar(archive, folder)
        elif zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder)
        else:
            raise DatasetError("it is neither a zip nor a tar archive")
    except (OSError, EOFError, RuntimeError, ValueError, NotImplementedError) as error:
        raise DatasetError(f"the archive is damaged or cannot be unpacked: {error}") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise DatasetError(f"the archive is damaged: {error}") from error


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            target = _target(folder, entry.filename)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            elif kind in (0, stat.S_IFREG):
                with content.open(entry) as stream:
                    _write(stream, entry.file_size, target)
            else:
                raise DatasetError(f"its entry '{entry.filename}' is a link or a device")


def _unpack_tar(archive: Path, folder: Path) -> None:
    links = []
    with tarfile.open(archive) as content:
        for entry in content:
            target = _target(folder, entry.name)
            if entry.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif entry.isreg():
                stream = content.extractfile(entry)
                assert stream is not None  # a plain file has content
                with stream:
                    _write(stream, entry.size, target)
            elif entry.issym():
                links.append((target, target.parent, entry))
            elif entry.islnk():
                links.append((target, folder, entry))
            else:
                raise DatasetError(f"its entry '{entry.name}' is a device or a pipe")
    for target, base, entry in links:
        _copy_linked(folder, base, target, entry)
