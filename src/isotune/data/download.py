"""Downloads a dataset once, so that it is there whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from isotune.data.archives.unpack import unpack
from isotune.errors import DatasetError

BESIDE = frozenset({"__MACOSX", ".DS_Store"})
"""What macOS puts into archives beside their content."""


def ensure_dataset(
    path: Path,
    url: str | None = None,
    sha256: str | None = None,
    wanted: Collection[str] = ("train", "val"),
) -> Path:
    """Returns the folder `path`, after downloading and unpacking it when it is not there.

    Of several processes that ask for the same dataset one downloads it, the others wait.

    Args:
        path: the dataset's folder. What an archive holds in one single folder, or in several
            one in another, goes right into it.
        url: address of a zip or tar archive, ``http://`` or ``https://``.
        sha256: what the archive's SHA-256 begins with; None checks nothing.
        wanted: what is to be right in the folder, be it one of them: the splits, say.

    Raises:
        DatasetError: it is not there and cannot be downloaded, or the archive is not the right
            one or is unsafe.
    """
    if path.is_dir():
        return path
    if url is None:
        raise DatasetError(
            f"{path}: there is no such dataset folder, and the spec names no dataset.url to"
            " download it from."
        )
    # Not above: what is there already needs no network.
    from isotune.storage.downloads.download import exclusively
    from isotune.storage.downloads.errors import DownloadError

    try:
        with exclusively(path):
            if not path.is_dir():
                _install(path, url, sha256, wanted)
    except DownloadError as error:
        raise DatasetError(
            f"{url}: cannot be downloaded: {error}; or unpack it by hand as {path}."
        ) from error
    return path


def _install(path: Path, url: str, sha256: str | None, wanted: Collection[str]) -> None:
    from isotune.storage.downloads.download import fetch
    from isotune.storage.downloads.part import Part

    part = Part(path)
    fetch(url, part, sha256)
    draft = path.with_name(f".{path.name}.unpacking")
    shutil.rmtree(draft, ignore_errors=True)  # of a run that was killed
    try:
        draft.mkdir()
        unpack(part.path, draft)
        top(draft, wanted).replace(path)
    except DatasetError as error:
        raise DatasetError(f"{url}: {error}.") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be put in place: {error.strerror}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        part.discard()


def top(content: Path, wanted: Collection[str]) -> Path:
    """Returns the folder in `content` that is the dataset.

    It is the first one with something of `wanted` in it, going down while there is but one
    folder to go to. Where that leads nowhere it is the archive's only entry if that is a
    folder, else all of it.
    """
    folder = content
    while True:
        entries = _entries(folder)
        if any(entry.name in wanted for entry in entries):
            return folder
        folders = [entry for entry in entries if entry.is_dir()]
        if len(folders) != 1:
            break
        folder = folders[0]
    entries = _entries(content)
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else content


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.name not in BESIDE]
