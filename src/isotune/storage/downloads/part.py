"""A partial download on disk, which the next attempt or another run continues."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

CHUNK = 1 << 20
"""Number of bytes read at a time."""


@dataclass(frozen=True)
class Origin:
    """The file on the server that a partial download belongs to.

    Attributes:
        url: its address.
        validator: identifies this version of the file, for ``If-Range``: its strong ETag, else
            the time of its last modification; None if the server sends neither.
        total: size of the whole file in bytes, or None if the server does not send it.
    """

    url: str
    validator: str | None
    total: int | None


class Part:
    """A partial download of `target`, stored beside it under a hidden name.

    Attributes:
        joined: whether it consists of several responses, perhaps received by several runs.
    """

    def __init__(self, target: Path) -> None:
        self.joined = False
        self.path = target.with_name(f".{target.name}.part")
        self._origin = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Number of bytes received."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def origin(self) -> Origin | None:
        """Returns the file that the received bytes belong to, or None if it is unknown."""
        try:
            fields = json.loads(self._origin.read_bytes())
            return Origin(str(fields["url"]), fields["validator"], fields["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_whole(self, url: str) -> bool:
        """Whether an earlier run has received all of `url`."""
        origin = self.origin()
        return origin is not None and (origin.url, origin.total) == (url, self.size)

    def restart(self, origin: Origin) -> None:
        """Discards the received bytes; the next ones belong to `origin`."""
        self.joined = False
        self.path.write_bytes(b"")  # first, so that old bytes never belong to a new origin
        self._origin.write_text(json.dumps(asdict(origin)), "ascii")

    def discard(self) -> None:
        """Removes the partial download."""
        for path in (self.path, self._origin):
            with contextlib.suppress(OSError):
                path.unlink()

    def sha256(self) -> str:
        """Returns the hexadecimal SHA-256 of the received bytes."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def become(self, target: Path) -> None:
        """Flushes the download to disk and renames it to `target`."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self.discard()
