"""Remembers which picture files were found sound, so that the next run need not read them.

A verdict holds as long as the file keeps its size and its time of modification, and Pillow
its version.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import PIL

from isotune import home

Stamp = tuple[int, int]
"""A file's size in bytes and its time of modification in nanoseconds."""


class Verdicts:
    """What is wrong with the picture files of one folder, by their paths in it.

    Kept in a file under ``$ISOTUNE_HOME/cache/checked``; a file that cannot be read or
    written only means that nothing is remembered.
    """

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        self._file = home.home() / "cache" / "checked" / f"{digest[:32]}.json"
        self._known = self._read()

    def get(self, name: str, stamp: Stamp) -> str | None:
        """Returns what is wrong with a file, ``""`` if nothing is, None if it is not known."""
        match self._known.get(name):
            case [int(size), int(modified), str(reason)] if (size, modified) == stamp:
                return reason
        return None

    def replace(self, verdicts: dict[str, tuple[Stamp, str]]) -> None:
        """Forgets everything and remembers `verdicts`, on disk if that can be."""
        self._known = {name: [*stamp, reason] for name, (stamp, reason) in verdicts.items()}
        with contextlib.suppress(OSError):
            self._write(json.dumps({"pillow": PIL.__version__, "files": self._known}))

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(content, dict) or content.get("pillow") != PIL.__version__:
            return {}
        files = content.get("files")
        return files if isinstance(files, dict) else {}

    def _write(self, text: str) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=self._file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(text)
            Path(draft).replace(self._file)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
