"""What is downloaded: an address, and what has to come from there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isotune.storage.downloads.errors import DownloadError

LIMIT_VARIABLE = "ISOTUNE_MAX_DOWNLOAD"
"""Environment variable with the size that a download may have: ``500GB``."""

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def accept(path: Path) -> str | None:
    """Refuses no file."""
    del path
    return None


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes:
        url: an ``http://`` or ``https://`` address.
        sha256: the first hexadecimal digits of its SHA-256, or None to skip the check.
        max_size: number of bytes that it may have.
        refuse: returns why a received file cannot be the right one, or None. It is called if
            there is no hash to check.
    """

    url: str
    sha256: str | None
    max_size: int
    refuse: Callable[[Path], str | None] = accept


def size_limit(default: int) -> int:
    """Returns the number of bytes that a download may have: `default`, or the user's own limit.

    Raises:
        DownloadError: the environment variable is not a size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return default
    match = re.fullmatch(r"([0-9]{1,15})\s*([KMGT]?)B?", text, re.IGNORECASE)
    if match is None:
        raise DownloadError(
            f"{LIMIT_VARIABLE} is '{text[:50]}', but should be a size such as 500GB"
        )
    return int(match[1]) * UNITS[match[2].upper()]
