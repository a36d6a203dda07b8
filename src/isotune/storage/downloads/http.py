"""Requests the missing part of a file (RFC 9110: range requests, ``If-Range``)."""

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
"""Number of seconds to wait for a silent server."""

BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Status codes after which another attempt may succeed."""


def receive(url: str, part: Part, checked: bool, progress: DownloadProgress) -> None:
    """Downloads the missing part of a file, or all of it if the download cannot be resumed.

    Args:
        url: the file's address.
        part: the partial download, which is extended or started again.
        checked: whether a hash is compared afterwards, which detects pieces of different files.
        progress: shows the received bytes.

    Raises:
        Unreachable: the server did not answer.
        Broken: the response was incomplete.
        DownloadError: the server refuses the request, or the file cannot be written.
        Outdated: the partial download cannot be continued; it has to be discarded first.
    """
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that lengths hold
    headers |= _missing(url, part, checked)
    with _answer(url, headers) as response:
        total = _begin(url, response, part, resumed="Range" in headers)
        if total is None and not checked and "chunked" not in _encoding(response):
            raise DownloadError(
                "the server does not send its length, so only a SHA-256 can show whether all of it"
                " arrived; set sha256 in the spec"
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
    """Returns the headers that request only the missing part."""
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
    """Prepares `part` for the response's bytes; returns the size of the whole file, if known."""
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
    # Some servers honor Range but ignore If-Range.
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
    """Appends the response to `part`; returns whether the response was complete."""
    with part.path.open("ab") as file:
        # iter_content() would decompress a response with Content-Encoding: gzip.
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
