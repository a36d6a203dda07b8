"""Requests the missing part of a file (RFC 9110: range requests, ``If-Range``)."""

from __future__ import annotations

import shutil
from pathlib import Path

import requests
import urllib3

from isotune.storage.downloads.address import fingerprint, shown
from isotune.storage.downloads.answer import answer
from isotune.storage.downloads.errors import Broken, DownloadError, Outdated, TooLarge
from isotune.storage.downloads.headers import (
    content_length,
    content_range,
    is_chunked,
    validator,
)
from isotune.storage.downloads.part import Origin, Part
from isotune.storage.downloads.progress import DownloadProgress
from isotune.storage.downloads.proxy import name_proxy
from isotune.storage.downloads.remote import LIMIT_VARIABLE, Remote

CHUNK = 1 << 16
"""Number of bytes read at a time."""

BROKE = "the connection broke"

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Status codes after which another attempt may succeed."""


def receive(remote: Remote, part: Part, progress: DownloadProgress) -> None:
    """Downloads the missing part of a file, or all of it if the download cannot be resumed.

    Without a hash, pieces are joined only if the server says by a validator that they are of one
    version of the file, from the same place.

    Args:
        remote: the file.
        part: the partial download, which is extended or started again.
        progress: shows the received bytes.

    Raises:
        Unreachable: the server did not answer.
        Broken: the response was incomplete.
        TooLarge: the file is larger than it may be.
        DownloadError: the server refuses the request, or the file cannot be written.
        Outdated: the partial download cannot be continued; it has to be discarded first.
    """
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that lengths hold
    headers |= _missing(remote, part)
    with answer(remote.url, headers) as response:
        total = _begin(remote, response, part, resumed="Range" in headers)
        if total is None and remote.sha256 is None and not is_chunked(response.headers):
            raise DownloadError(
                "the server does not send its length, so only a SHA-256 can show whether all of it"
                " arrived; set sha256 in the spec"
            )
        limit = _room(remote, part, total)
        progress.start(part.size, total)
        try:
            fault = _append(response, part, limit, progress)
        except OSError as error:
            raise DownloadError(f"{part.path.parent}: {error.strerror or error}") from error
    if total is not None and part.size > total:
        raise Outdated
    if part.size > limit:
        raise _too_large(f"more than {limit:,} bytes", remote, part.path.parent)
    if fault or part.size < (total or 0):
        of = "" if total is None else f" of {total}"
        raise Broken(f"{fault or BROKE} after {part.size}{of} bytes")


def _missing(remote: Remote, part: Part) -> dict[str, str]:
    """Returns the headers that request only the missing part."""
    origin = part.origin()
    if not part.size or origin is None or origin.address != fingerprint(remote.url):
        return {}
    if origin.validator is None:
        return {"Range": f"bytes={part.size}-"} if remote.sha256 is not None else {}
    return {"Range": f"bytes={part.size}-", "If-Range": origin.validator}


def _begin(remote: Remote, response: requests.Response, part: Part, resumed: bool) -> int | None:
    """Prepares `part` for the response's bytes; returns the size of the whole file, if known."""
    if response.status_code == 206 and resumed:
        return _continue(remote, response, part)
    if response.status_code == 416 and resumed:
        raise Outdated
    if response.status_code != 200:
        kind = Broken if response.status_code in BUSY else DownloadError
        who = name_proxy(remote.url) if response.status_code == 407 else "the server"
        raise kind(f"{who} answers {response.status_code}")
    total = content_length(response.headers)
    origin = Origin(
        url=shown(remote.url),
        address=fingerprint(remote.url),
        location=shown(response.url),
        validator=validator(response.headers),
        total=total,
    )
    try:
        part.restart(origin)
    except OSError as error:
        raise DownloadError(f"{part.path}: {error.strerror}") from error
    return total


def _continue(remote: Remote, response: requests.Response, part: Part) -> int | None:
    origin, found = part.origin(), content_range(response.headers)
    if origin is None or found is None or found[0] != part.size:
        raise Outdated
    content_length(response.headers)  # and its transfer encoding
    total, version = found[2], validator(response.headers)
    if origin.total not in (None, total):
        raise Outdated
    if remote.sha256 is None:
        # Some servers honor Range but ignore If-Range.
        same = version == origin.validator and shown(response.url) == origin.location
        if not same or total is None:
            raise Outdated
    elif version not in (None, origin.validator):
        raise Outdated
    part.joined = True
    return total


def _room(remote: Remote, part: Part, total: int | None) -> int:
    """Returns how many bytes the whole file may have."""
    try:
        free = shutil.disk_usage(part.path.parent).free
    except OSError as error:
        raise DownloadError(f"{part.path.parent}: {error.strerror}") from error
    if total is None:
        # A stream without end should not fill the disk for everyone else.
        return min(remote.max_size, part.size + free // 10 * 9)
    if total > remote.max_size:
        raise _too_large(f"{total:,} bytes", remote, part.path.parent)
    if total - part.size > free:
        raise DownloadError(f"its {total} bytes do not fit on the disk, where {free} are free")
    return total


def _too_large(size: str, remote: Remote, folder: Path) -> TooLarge:
    return TooLarge(
        f"it has {size}, which is too much: at most {remote.max_size:,} are downloaded, if {folder}"
        f" has room for them. {LIMIT_VARIABLE}, such as 500GB, sets another limit"
    )


def _append(
    response: requests.Response, part: Part, limit: int, progress: DownloadProgress
) -> str | None:
    """Appends the response to `part`; returns why it is incomplete, or None if it has ended.

    It stops as soon as `part` has more than `limit` bytes.
    """
    size = part.size
    with part.append() as file:
        while size <= limit:
            try:
                # Not decoded: Requests would decompress a response with Content-Encoding: gzip.
                chunk = response.raw.read1(CHUNK, decode_content=False)
            except urllib3.exceptions.ReadTimeoutError:
                return "the server sent nothing more, or next to nothing,"
            except (urllib3.exceptions.HTTPError, ConnectionError):
                return BROKE
            if not chunk:
                return None
            file.write(chunk)
            progress.advance(len(chunk))
            size += len(chunk)
    return None
