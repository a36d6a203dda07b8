"""What has arrived of a file, and of which file: kept for the next try, also by another run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

CHUNK = 1 << 20
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Origin:
    """Which file the bytes of a part are of.

    Attributes:
        url: where they came from.
        validator: what tells this version of the file from others, as ``If-Range`` takes it:
            its strong ETag, else the time of its last change; None if the server names none.
        total: bytes of the whole file, None if the server does not say.
    """

    url: str
    validator: str | None
    total: int | None


class Part:
    """A file on its way to `target`, beside it under a hidden name.

    Attributes:
        joined: whether it was put together from several answers, perhaps of several runs.
    """

    def __init__(self, target: Path) -> None:
        self.joined = False
        self.path = target.with_name(f".{target.name}.part")
        self._origin = target.with_name(f".{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def origin(self) -> Origin | None:
        """Returns which file they are of, if that is known."""
        try:
            fields = json.loads(self._origin.read_bytes())
            return Origin(str(fields["url"]), fields["validator"], fields["total"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def is_whole(self, url: str) -> bool:
        """Tells whether all of `url` has arrived already, in an earlier run."""
        origin = self.origin()
        return origin is not None and (origin.url, origin.total) == (url, self.size)

    def restart(self, origin: Origin) -> None:
        """Forgets what has arrived; what arrives next is of `origin`."""
        self.joined = False
        self.path.write_bytes(b"")  # first: never old bytes under a new name
        self._origin.write_text(json.dumps(asdict(origin)), "ascii")

    def discard(self) -> None:
        """Removes it."""
        for path in (self.path, self._origin):
            with contextlib.suppress(OSError):
                path.unlink()

    def sha256(self) -> str:
        """Returns the hexadecimal SHA-256 of what has arrived."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def become(self, target: Path) -> None:
        """Moves it to `target`, after it is safe on the disk."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self.discard()
