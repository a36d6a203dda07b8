"""Downloads a dataset once, so that it is there whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from pathlib import Path

from isotune.data.archive import unpack
from isotune.errors import DatasetError

log = logging.getLogger(__name__)

TIMEOUT = 30
"""Seconds that a server may stay silent."""

CHUNK = 1 << 20
"""Bytes that are read at a time."""

HASH_DIGITS = 8
"""Hexadecimal digits of a hash that check something."""

BESIDE = frozenset({"__MACOSX", ".DS_Store"})
"""What macOS puts into archives beside their content."""


def ensure_dataset(path: Path, url: str | None = None, sha256: str | None = None) -> Path:
    """Returns the folder `path`, after downloading and unpacking it when it is not there.

    Args:
        path: the dataset's folder. What an archive holds in one single folder goes right into it.
        url: address of a zip or tar archive, ``http://`` or ``https://``.
        sha256: what the archive's SHA-256 begins with, in at least 8 digits; None checks nothing.

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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise DatasetError(
            f"{path.parent}: cannot be written to download a dataset: {error.strerror}; set"
            " ISOTUNE_HOME to a folder that can."
        ) from error
    try:
        _download(url, draft / "archive", path)
        _verify(url, draft / "archive", sha256)
        (draft / "content").mkdir()
        try:
            unpack(draft / "archive", draft / "content")
        except DatasetError as error:
            raise DatasetError(f"{url}: {error}.") from error
        _put(_top(draft / "content"), path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return path


def _download(url: str, file: Path, path: Path) -> None:
    from pooch import HTTPDownloader

    if not url.startswith(("http://", "https://")):
        raise DatasetError(f"{url}: a dataset's address begins with http:// or https://.")
    log.info("downloading %s to %s", url, path)
    try:
        HTTPDownloader(chunk_size=CHUNK, timeout=TIMEOUT)(url, str(file), None)
    except (OSError, ValueError) as error:  # all errors of requests are OSErrors
        raise DatasetError(
            f"{url}: cannot be downloaded: {error}; or unpack it by hand as {path}."
        ) from error


def _verify(url: str, file: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    wanted = sha256.lower()
    if len(wanted) < HASH_DIGITS or wanted.strip("0123456789abcdef"):
        raise DatasetError(
            f"dataset.sha256 should be at least {HASH_DIGITS} hexadecimal digits, not '{sha256}'."
        )
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    if not digest.hexdigest().startswith(wanted):
        raise DatasetError(
            f"{url}: the archive's SHA-256 is {digest.hexdigest()}, but should begin with {wanted}."
        )


def _top(content: Path) -> Path:
    """Returns the only folder of an archive, or all of its content if there is more."""
    entries = [entry for entry in content.iterdir() if entry.name not in BESIDE]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else content


def _put(content: Path, path: Path) -> None:
    try:
        content.replace(path)
    except OSError as error:
        # Another run was faster: what it put there is as whole as this.
        if not path.is_dir():
            raise DatasetError(f"{path}: cannot be put in place: {error.strerror}.") from error
