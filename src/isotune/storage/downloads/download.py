"""Downloads a file, retries after interruptions, and checks its hash."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path

from isotune.storage.downloads.errors import Broken, DownloadError, Outdated, Unreachable
from isotune.storage.downloads.http import receive
from isotune.storage.downloads.lock import locked
from isotune.storage.downloads.part import Part
from isotune.storage.downloads.progress import DownloadProgress, log

PAUSES = (0.5, 1.0, 2.0)
"""Seconds to wait after each of several interruptions without progress, before giving up."""


def download(url: str, target: Path, sha256: str | None = None) -> None:
    """Downloads `url` to `target`, which appears only when it is complete and has the right hash.

    If several processes request the same file, one downloads it and the others wait.

    Args:
        url: an ``http://`` or ``https://`` address.
        target: the file to write. Its folder is created if necessary.
        sha256: the first hexadecimal digits of the file's SHA-256, or None to skip the check.

    Raises:
        DownloadError: the download failed. The received bytes are kept beside `target` if the
            download can be resumed.
    """
    with exclusively(target):
        if target.is_file():
            return
        part = Part(target)
        fetch(url, part, sha256)
        try:
            part.become(target)
        except OSError as error:
            raise DownloadError(f"{target}: cannot be written ({error.strerror})") from error


def exclusively(target: Path) -> AbstractContextManager[None]:
    """Lets one process at a time create `target`; see :mod:`isotune.storage.downloads.lock`."""
    return locked(target, lambda: log.info("another run is making %s; waiting for it", target))


def fetch(url: str, part: Part, sha256: str | None = None) -> None:
    """Downloads the rest of `part` from `url` and checks its hash. The caller holds the lock.

    Raises:
        DownloadError: the download failed; `part` is removed unless it can be resumed.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError("an address begins with http:// or https://")
    with DownloadProgress(url) as progress:
        _complete(url, part, sha256 is not None, progress)
        if part.joined and not _is_right(part, sha256):  # its pieces may not belong together
            part.discard()
            _complete(url, part, True, progress)
    if not _is_right(part, sha256):
        digest = part.sha256()
        part.discard()
        raise DownloadError(f"its SHA-256 is {digest}, but should begin with {sha256}")


def _is_right(part: Part, sha256: str | None) -> bool:
    return sha256 is None or part.sha256().startswith(sha256)


def _complete(url: str, part: Part, checked: bool, progress: DownloadProgress) -> None:
    """Sends requests until `part` is complete."""
    if part.is_whole(url):
        part.joined = True
        return
    largest, breaks, answered, changes = part.size, 0, False, 0
    while True:
        try:
            receive(url, part, checked, progress)
            return
        except Outdated as error:
            part.discard()
            changes += 1
            if changes > len(PAUSES):
                raise DownloadError("the server's file changes all the time") from error
            continue
        except (Unreachable, Broken) as error:
            answered = answered or isinstance(error, Broken)
            breaks = 1 if part.size > largest else breaks + 1
            largest = max(largest, part.size)
            if not answered or breaks > len(PAUSES):
                _keep_or_discard(part, checked)
                raise DownloadError(f"{error}{_tries(breaks)}") from error
        except DownloadError:
            _keep_or_discard(part, checked)
            raise
        time.sleep(PAUSES[breaks - 1])


def _tries(breaks: int) -> str:
    return f", and {breaks} tries in a row got no further" if breaks > 1 else ""


def _keep_or_discard(part: Part, checked: bool) -> None:
    origin = part.origin()
    if not part.size or origin is None or (origin.validator is None and not checked):
        part.discard()
