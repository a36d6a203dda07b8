"""Unpacks untrusted archives without ever writing outside of the folder."""

from __future__ import annotations

import lzma
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from isotune.data.archives.budget import Budget
from isotune.data.archives.entry_names import check_name
from isotune.data.archives.tar_stream import CHUNK, TarStream
from isotune.errors import DatasetError
from isotune.storage.signatures import HEAD, describe


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip or (compressed) tar archive into an empty folder.

    Only folders and plain files are created. A link to another file of the archive becomes a copy
    of that file, so nothing is ever written through a link. Nested archives are not unpacked.

    Raises:
        DatasetError: the file is no archive, is damaged, or contains a path or link out of the
            folder, a device, or more than the disk has room for or than
            :mod:`isotune.data.archives.budget` allows. Files unpacked until then stay in `folder`.
    """
    try:
        budget = Budget(archive)
        # Tar first: a tar archive may end in bytes that look like the end of a zip archive.
        if _unpack_tar(archive, folder, budget):
            return
        if not zipfile.is_zipfile(archive):
            with archive.open("rb") as file:
                found = describe(file.read(HEAD))
            raise DatasetError(f"it is neither a zip nor a tar archive: {found}")
        _unpack_zip(archive, folder, budget)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise DatasetError(f"it is damaged: {error}") from error
    except OSError as error:
        name = Path(error.filename or "").name
        where = f" ('{name}')" if name else ""
        raise DatasetError(
            f"it cannot be unpacked: {(error.strerror or str(error)).lower()}{where}"
        ) from error
    except (EOFError, RuntimeError, ValueError) as error:
        raise DatasetError(f"it cannot be unpacked: {error}") from error


def _unpack_zip(archive: Path, folder: Path, budget: Budget) -> None:
    with zipfile.ZipFile(archive) as content:
        entries = content.infolist()
        for entry in entries:  # before anything is written; reading never exceeds these sizes
            budget.spend(entry.file_size)
        for entry in entries:
            target = folder / check_name(entry.filename)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.filename.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
            elif kind in (0, stat.S_IFREG):
                with content.open(entry) as stream:
                    _write(stream, entry.file_size, target)
            else:
                raise DatasetError(f"its entry '{entry.filename}' is a link or a device")


def _unpack_tar(archive: Path, folder: Path, budget: Budget) -> bool:
    """Unpacks `archive` if it is a tar archive; returns whether it is."""
    with TarStream(archive, budget) as stream:
        content = _open_tar(stream)
        if content is None:
            return False
        links = []
        with content:
            for entry in content:
                budget.spend(entry.size)
                if entry.issym() or entry.islnk():
                    links.append(entry)
                else:
                    _unpack_entry(content, entry, folder)
            stream.finish(content.offset)
    for entry in links:
        _copy_linked(folder, entry, budget)
    return True


def _open_tar(stream: TarStream) -> tarfile.TarFile | None:
    try:
        return tarfile.open(fileobj=stream, mode="r:")  # type: ignore[call-overload, no-any-return]
    except tarfile.ReadError:
        if stream.compressed:
            raise
        return None


def _unpack_entry(content: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    target = folder / check_name(entry.name)
    if entry.isdir():
        target.mkdir(parents=True, exist_ok=True)
    elif entry.isreg():
        stream = content.extractfile(entry)
        assert stream is not None  # it is a plain file
        with stream:
            _write(stream, entry.size, target)
    else:
        raise DatasetError(f"its entry '{entry.name}' is a device or a pipe")


def _write(stream: IO[bytes], size: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if size > shutil.disk_usage(target.parent).free:
        raise DatasetError(f"its entry '{target.name}' of {size} bytes does not fit on the disk")
    with target.open("wb") as file:
        shutil.copyfileobj(stream, file, CHUNK)


def _copy_linked(folder: Path, entry: tarfile.TarInfo, budget: Budget) -> None:
    target = folder / check_name(entry.name)
    # Hard links are relative to the archive's root, symbolic links to their own folder.
    base = "" if entry.islnk() else posixpath.dirname(entry.name)
    name = posixpath.normpath(posixpath.join(base, entry.linkname))
    if name.startswith(("/", "../")) or not (folder / name).is_file():
        raise DatasetError(
            f"its entry '{entry.name}' links to '{entry.linkname}', which is no file in it"
        )
    size = (folder / name).stat().st_size
    budget.spend(size)
    with (folder / name).open("rb") as stream:
        _write(stream, size, target)
