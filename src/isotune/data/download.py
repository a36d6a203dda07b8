"""Downloads and unpacks a dataset once; its folder appears only when it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from isotune.data.archives.unpack import unpack
from isotune.data.folders import is_hidden
from isotune.errors import DatasetError
from isotune.storage.paths import exists, is_dir, is_file

MAX_SIZE = 256 << 30
"""Number of bytes that an archive may have. The training images of iNaturalist 2021 have 224 GB."""


def ensure_dataset(
    path: Path,
    url: str | None = None,
    sha256: str | None = None,
    contents: Collection[str] = ("train", "val"),
    may_be_file: bool = False,
) -> Path:
    """Returns the folder `path`, after downloading and unpacking it if it does not exist.

    If several processes request the same dataset, one downloads it and the others wait.

    Args:
        path: the dataset's folder. Folders of the archive that only contain another folder are
            left out.
        url: address of a zip or tar archive, ``http://`` or ``https://``.
        sha256: the first hexadecimal digits of the archive's SHA-256, or None to skip the check.
        contents: names of files or folders, the splits for example, at least one of which lies
            directly in the dataset's folder.
        may_be_file: Whether `path` may be a file, which is returned as it is.

    Raises:
        DatasetError: the folder does not exist and cannot be downloaded, or the archive has
            another hash or is unsafe.
    """
    if exists(path):
        # Asked in this order, since another process may put the folder in place meanwhile.
        if is_dir(path) or (may_be_file and is_file(path)):
            return path
        raise DatasetError(
            f"{path}: is not a folder; an archive has to be unpacked first, or is read as it is by"
            " dataset.format: archive."
        )
    if url is None:
        kind = "file or folder" if may_be_file else "folder"
        raise DatasetError(
            f"{path}: there is no such dataset {kind}, and the spec names no dataset.url to"
            " download it from."
        )
    # Imported late, since an existing dataset needs no network.
    from isotune.storage.downloads.address import shown
    from isotune.storage.downloads.download import exclusively
    from isotune.storage.downloads.errors import DownloadError

    try:
        with exclusively(path):
            if not is_dir(path):
                _install(path, url, sha256, contents)
    except DownloadError as error:
        raise DatasetError(
            f"{shown(url)}: cannot be downloaded: {error}; or unpack it by hand as {path}."
        ) from error
    return path


def _install(path: Path, url: str, sha256: str | None, contents: Collection[str]) -> None:
    from isotune.storage.downloads.address import shown
    from isotune.storage.downloads.download import fetch
    from isotune.storage.downloads.part import Part
    from isotune.storage.downloads.remote import Remote, size_limit

    part = Part(path)
    fetch(Remote(url, sha256, size_limit(MAX_SIZE)), part)
    draft = path.with_name(f".{path.name}.unpacking")
    with suppress(OSError):
        draft.unlink()  # a link or a file of someone else's
    shutil.rmtree(draft, ignore_errors=True)  # left by a run that was killed
    try:
        draft.mkdir()
        unpack(part.path, draft)
        if not _entries(draft):
            raise DatasetError("it is an archive of nothing")
        dataset_root(draft, contents).replace(path)
    except DatasetError as error:
        raise DatasetError(f"{shown(url)}: {error}.") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be put in place: {error.strerror}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        part.discard()


def dataset_root(unpacked: Path, contents: Collection[str]) -> Path:
    """Returns the folder in `unpacked` that is the dataset.

    It is the first folder that contains one of `contents`, going down as long as there is a single
    folder. If there is none, it is the archive's only entry if that is a folder, else `unpacked`.
    """
    folder = unpacked
    while True:
        if any(entry.name in contents for entry in folder.iterdir()):
            return folder
        entries = _entries(folder)
        folders = [entry for entry in entries if entry.is_dir()]
        if len(folders) != 1:
            break
        folder = folders[0]
    entries = _entries(unpacked)
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else unpacked


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
