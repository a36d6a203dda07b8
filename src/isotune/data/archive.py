"""Unpacks archives that nobody vouches for: nothing is ever written outside of the folder."""

from __future__ import annotations

import lzma
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from isotune.errors import DatasetError


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or (compressed) tar archive into an empty folder.

    Only folders and plain files are made. A link to another file of the archive becomes that
    file once more, so there is never a link to be written through.

    Raises:
        DatasetError: it is no archive, is damaged, or holds what no dataset needs: a path out
            of the folder, a link elsewhere, a device, more than the disk has room for.
    """
    try:
        # Not the other way round: a tar file may end in what looks like the end of a zip.
        if tarfile.is_tarfile(archive):
            _unpack_tar(archive, folder)
        elif zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder)
        else:
            raise DatasetError("it is neither a zip nor a tar archive")
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise DatasetError(f"it is damaged: {error}") from error
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        raise DatasetError(f"it cannot be unpacked: {error}") from error


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
                assert stream is not None  # it is a plain file
                with stream:
                    _write(stream, entry.size, target)
            elif entry.issym() or entry.islnk():
                links.append(entry)
            else:
                raise DatasetError(f"its entry '{entry.name}' is a device or a pipe")
    for entry in links:
        _copy_linked(folder, entry)


def _target(folder: Path, name: str) -> Path:
    """Returns where an entry goes, refusing names that lead out of the folder."""
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.anchor or ".." in path.parts:
            raise DatasetError(f"its entry '{name}' would be written outside of the folder")
    return folder / name


def _write(stream: IO[bytes], size: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if size > shutil.disk_usage(target.parent).free:
        raise DatasetError(f"its entry '{target.name}' of {size} bytes does not fit on the disk")
    with target.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)


def _copy_linked(folder: Path, entry: tarfile.TarInfo) -> None:
    # Hard links name their file from the archive's top, symbolic ones from their own folder.
    base = "" if entry.islnk() else posixpath.dirname(entry.name)
    name = posixpath.normpath(posixpath.join(base, entry.linkname))
    if name.startswith(("/", "../")) or not (folder / name).is_file():
        raise DatasetError(
            f"its entry '{entry.name}' links to '{entry.linkname}', which is no file in it"
        )
    with (folder / name).open("rb") as stream:
        _write(stream, (folder / name).stat().st_size, _target(folder, entry.name))
