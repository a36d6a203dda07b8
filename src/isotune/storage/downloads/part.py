"""A partial download on disk, which the next attempt or another run continues."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from isotune.storage.untrusted import open_regular, read_small

CHUNK = 1 << 20
"""Number of bytes read at a time."""

NOTE = 1 << 16
"""Number of bytes that the note about a partial download may have."""


class Origin(BaseModel):
    """The file on the server that a partial download belongs to.

    Attributes:
        url: its address, without what may be secret.
        address: fingerprint of the whole address.
        location: where redirects led, without what may be secret.
        validator: identifies this version of the file, for ``If-Range``: its strong ETag, else
            the time of its last modification; None if the server sends neither.
        total: size of the whole file in bytes, or None if the server does not send it.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    url: str
    address: str
    location: str
    validator: str | None
    total: int | None


class Part:
    """A partial download of `target`, stored beside it under a hidden name.

    Whatever else has that name, a link or a pipe, counts as nothing received, and is replaced.

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
            status = self.path.lstat()
        except OSError:
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    def origin(self) -> Origin | None:
        """Returns the file that the received bytes belong to, or None if it is unknown."""
        try:
            return Origin.model_validate_json(read_small(self._origin, NOTE))
        except (OSError, ValidationError):
            return None

    def is_whole(self, address: str) -> bool:
        """Whether an earlier run has received all of the file with this fingerprint."""
        origin = self.origin()
        return origin is not None and (origin.address, origin.total) == (address, self.size)

    def restart(self, origin: Origin) -> None:
        """Discards the received bytes; the next ones belong to `origin`."""
        self.joined = False
        self.discard()  # old bytes never belong to a new origin
        for path, content in ((self.path, ""), (self._origin, origin.model_dump_json())):
            with path.open("x", encoding="utf-8") as file:  # creates it, and so follows no link
                file.write(content)

    def append(self) -> BinaryIO:
        """Opens the partial download to write behind the received bytes."""
        open_regular(self.path).close()
        flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(self.path, flags | getattr(os, "O_NOFOLLOW", 0)), "ab")

    def discard(self) -> None:
        """Removes the partial download."""
        for path in (self.path, self._origin):
            with contextlib.suppress(OSError):
                path.unlink()

    def head(self, size: int) -> bytes:
        """Returns the first `size` bytes."""
        with open_regular(self.path) as file:
            return file.read(size)

    def sha256(self) -> str:
        """Returns the hexadecimal SHA-256 of the received bytes."""
        digest = hashlib.sha256()
        with open_regular(self.path) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def become(self, target: Path) -> None:
        """Flushes the download to disk and renames it to `target`."""
        with self.append() as file:
            os.fsync(file.fileno())
        self.path.replace(target)
        self.discard()
