"""Reads the headers of a response, none of which is to be trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from isotune.storage.downloads.errors import DownloadError

Headers = Mapping[str, str]

STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')
"""RFC 9110, section 8.8.3, without bytes beyond ASCII; a weak one begins with ``W/``."""

CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")

DIGITS = 18
"""Number of digits that are read of a number. Python refuses to read thousands of them."""

SETTLED = timedelta(seconds=60)
"""Age from which a time of modification, which counts seconds, identifies one version of a file
(RFC 9110, section 8.8.2.2, asks for one second on the same clock)."""


def content_length(headers: Headers) -> int | None:
    """Returns the length of the body in bytes, or None if the server does not send it.

    Raises:
        DownloadError: the body is sent in an encoding that is not read.
    """
    encoding = headers.get("Transfer-Encoding", "").strip().lower()
    if encoding not in ("", "identity", "chunked"):
        raise DownloadError("the server sends it in an unknown transfer encoding")
    text = headers.get("Content-Length", "").strip()
    return _number(text) if not encoding and re.fullmatch("[0-9]+", text) else None


def is_chunked(headers: Headers) -> bool:
    """Whether the body is sent in chunks, whose end says that all of it has arrived."""
    return headers.get("Transfer-Encoding", "").strip().lower() == "chunked"


def content_range(headers: Headers) -> tuple[int, int, int | None] | None:
    """Returns first byte, last byte and size of the whole file of a partial response.

    The size is None if the server does not know it; all is None without a valid range.
    """
    match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        return None
    first, last = _number(match[1]), _number(match[2])
    total = None if match[3] == "*" else _number(match[3])
    return (first, last, total) if first <= last and (total is None or last < total) else None


def validator(headers: Headers) -> str | None:
    """Returns what identifies this version of the file, for ``If-Range``, or None."""
    etag = headers.get("ETag", "")
    if STRONG_ETAG.fullmatch(etag):
        return etag
    modified = headers.get("Last-Modified", "")
    changed, now = _time(modified), _time(headers.get("Date", ""))
    return modified if changed and now and now - changed >= SETTLED else None


def _number(text: str) -> int:
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= DIGITS else 10**DIGITS


def _time(text: str) -> datetime | None:
    if len(text) > 64 or not (text.isascii() and text.isprintable()):
        return None
    try:
        time = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return time if time.tzinfo else None
