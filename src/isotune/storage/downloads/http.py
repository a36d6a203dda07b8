"""One request for what is missing of a file (RFC 9110: range requests, ``If-Range``)."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping

import requests
import urllib3

from isotune.storage.downloads.errors import Broken, DownloadError, Outdated, Unreachable
from isotune.storage.downloads.part import CHUNK, Origin, Part
from isotune.storage.downloads.progress import DownloadProgress

TIMEOUT = 30
"""Seconds that a server may stay silent."""

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be others in a moment."""


def receive(url: str, part: Part, checked: bool, progress: DownloadProgress) -> None:
    """Gets what is missing of `part`, or all of it where it cannot be resumed.

    Args:
        url: the file's address.
        part: what is there of it; it grows, or starts anew.
        checked: whether a hash will tell afterwards if its pieces belong together.
        progress: told of what arrives.

    Raises:
        Unreachable: the server did not answer.
        Broken: it did, but not to the end.
        DownloadError: it refuses, or the disk does.
        Outdated: what is there cannot be continued; without it, another try can.
    """
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that lengths hold
    headers |= _missing(url, part, checked)
    with _answer(url, headers) as response:
        total = _begin(url, response, part, resumed="Range" in headers)
        if total is None and not checked and "chunked" not in _encoding(response):
            raise DownloadError(
                "the server does not say how long it is, so that nothing but a SHA-256 can tell"
                " whether all of it arrived; the spec's sha256 takes one"
            )
        progress.start(part.size, total)
        try:
            ended = _append(response, part, progress)
        except OSError as error:
            raise DownloadError(f"{part.path.parent}: {error.strerror or error}") from error
    if not ended or part.size < (total or 0):
        of = "" if total is None else f" of {total}"
        raise Broken(f"the connection broke after {part.size}{of} bytes")
    if total is not None and part.size > total:
        raise Outdated


def _missing(url: str, part: Part, checked: bool) -> dict[str, str]:
    """Returns the headers that ask for no more than what is missing."""
    origin = part.origin()
    if not part.size or origin is None or origin.url != url:
        return {}
    if origin.validator is None:
        return {"Range": f"bytes={part.size}-"} if checked else {}
    return {"Range": f"bytes={part.size}-", "If-Range": origin.validator}


def _answer(url: str, headers: dict[str, str]) -> requests.Response:
    try:
        return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except requests.exceptions.SSLError as error:
        raise DownloadError("its server's certificate cannot be trusted") from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Unreachable("it cannot be reached") from error
    except (requests.RequestException, ValueError) as error:
        raise DownloadError(str(error).rstrip(".")) from error


def _begin(url: str, response: requests.Response, part: Part, resumed: bool) -> int | None:
    """Makes `part` ready for the answer's bytes and returns the whole file's size, if known."""
    if response.status_code == 206 and resumed:
        return _continue(response, part)
    if response.status_code == 416 and resumed:
        raise Outdated
    if response.status_code != 200:
        kind = Broken if response.status_code in BUSY else DownloadError
        raise kind(f"the server answers {response.status_code}")
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    try:
        part.restart(Origin(url, _validator(response.headers), total))
        free = shutil.disk_usage(part.path.parent).free
    except OSError as error:
        raise DownloadError(f"{part.path}: {error.strerror}") from error
    if total is not None and total > free:
        raise DownloadError(f"its {total} bytes do not fit on the disk, where {free} are free")
    return total


def _continue(response: requests.Response, part: Part) -> int | None:
    origin = part.origin()
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if origin is None or match is None or int(match[1]) != part.size:
        raise Outdated
    total = None if match[2] == "*" else int(match[2])
    # Servers exist that heed Range and overlook If-Range.
    if origin.total not in (None, total) or (
        _validator(response.headers) not in (None, origin.validator)
    ):
        raise Outdated
    part.joined = True
    return total


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def _encoding(response: requests.Response) -> str:
    return str(response.headers.get("Transfer-Encoding", "")).lower()


def _append(response: requests.Response, part: Part, progress: DownloadProgress) -> bool:
    """Writes what arrives, and tells whether the answer came to its end."""
    with part.path.open("ab") as file:
        # Not iter_content(), which unpacks what a server calls Content-Encoding: gzip.
        chunks = response.raw.stream(CHUNK, decode_content=False)
        while True:
            try:
                chunk = next(chunks, None)
            except (urllib3.exceptions.HTTPError, ConnectionError):
                return False
            if chunk is None:
                return True
            file.write(chunk)
            progress.advance(len(chunk))
