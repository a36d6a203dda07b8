"""Downloads a file, retries after interruptions, and checks what arrived."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path

from isotune.storage.downloads.address import fingerprint
from isotune.storage.downloads.errors import (
    Broken,
    DownloadError,
    Outdated,
    TooLarge,
    Unreachable,
)
from isotune.storage.downloads.http import receive
from isotune.storage.downloads.lock import locked
from isotune.storage.downloads.part import Part
from isotune.storage.downloads.progress import DownloadProgress, log
from isotune.storage.downloads.remote import Remote
from isotune.storage.signatures import HEAD, text_kind

PAUSES = (0.5, 1.0, 2.0)
"""Seconds to wait after each of several interruptions without progress, before giving up."""

PROGRESS = 1 << 16
"""Number of bytes that an attempt has to bring to count as progress."""


def download(remote: Remote, target: Path) -> None:
    """Downloads a file to `target`, which appears only when it is complete and right.

    If several processes request the same file, one downloads it and the others wait.

    Args:
        remote: the file.
        target: the file to write. Its folder is created if necessary.

    Raises:
        DownloadError: the download failed. The received bytes are kept beside `target` if the
            download can be resumed.
    """
    with exclusively(target):
        if target.is_file():
            return
        part = Part(target)
        fetch(remote, part)
        try:
            part.become(target)
        except OSError as error:
            raise DownloadError(f"{target}: cannot be written ({error.strerror})") from error


def exclusively(target: Path) -> AbstractContextManager[None]:
    """Lets one process at a time create `target`; see :mod:`isotune.storage.downloads.lock`."""
    return locked(target, lambda: log.info("another run is making %s; waiting for it", target))


def fetch(remote: Remote, part: Part) -> None:
    """Downloads the rest of `part` and checks it. The caller holds the lock.

    Raises:
        DownloadError: the download failed; `part` is removed unless it can be resumed.
    """
    if not remote.url.startswith(("http://", "https://")):
        raise DownloadError("an address begins with http:// or https://")
    with DownloadProgress(remote.url) as progress:
        _complete(remote, part, progress)
        fault = _fault(remote, part)
        if fault and part.joined:  # its pieces may not belong together
            part.discard()
            _complete(remote, part, progress)
            fault = _fault(remote, part)
    if fault:
        part.discard()
        raise DownloadError(fault)


def _fault(remote: Remote, part: Part) -> str | None:
    """Returns why a complete download is not the right file, or None."""
    try:
        if remote.sha256 is None:
            refusal = remote.refuse(part.path)
            return refusal and f"what the server sends {refusal}"
        digest = part.sha256()
        if digest.startswith(remote.sha256):
            return None
        kind = text_kind(part.head(HEAD))
    except OSError as error:
        return f"{part.path}: {error.strerror}"
    found = f"; it looks like {kind}" if kind else ""
    return f"its SHA-256 is {digest}, but should begin with {remote.sha256}{found}"


def _complete(remote: Remote, part: Part, progress: DownloadProgress) -> None:
    """Sends requests until `part` is complete."""
    if part.is_whole(fingerprint(remote.url)):
        part.joined = True
        return
    largest, breaks, answered, changes = part.size, 0, False, 0
    while True:
        try:
            receive(remote, part, progress)
            return
        except Outdated as error:
            part.discard()
            changes += 1
            if changes > len(PAUSES):
                raise DownloadError("the server's file changes all the time") from error
            continue
        except (Unreachable, Broken) as error:
            answered = answered or isinstance(error, Broken)
            breaks = 1 if part.size >= largest + PROGRESS else breaks + 1
            largest = max(largest, part.size)
            if not answered or breaks > len(PAUSES):
                _keep_or_discard(remote, part)
                raise DownloadError(f"{error}{_tries(breaks)}") from error
        except TooLarge:
            part.discard()
            raise
        except DownloadError:
            _keep_or_discard(remote, part)
            raise
        time.sleep(PAUSES[breaks - 1])


def _tries(breaks: int) -> str:
    return f", and {breaks} tries in a row got no further" if breaks > 1 else ""


def _keep_or_discard(remote: Remote, part: Part) -> None:
    origin = part.origin()
    checkable = remote.sha256 is not None or (origin is not None and origin.validator is not None)
    if not part.size or origin is None or not checkable:
        part.discard()
