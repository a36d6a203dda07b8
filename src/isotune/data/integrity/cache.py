"""Caches the results of checking image files, so that the next run need not read them.

A result is valid as long as the file's size and modification time and Pillow's version are the
same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from isotune.storage import home
from isotune.storage.atomic import write_atomically

Fingerprints = NDArray[np.int64]
"""Size in bytes and modification time in nanoseconds of N files: int64, shape (N, 2)."""


class IntegrityCache:
    """The errors of the image files of one folder, by their paths in it.

    The cache is a file under ``$ISOTUNE_HOME/cache/checked``. If it cannot be read or written,
    nothing is cached.

    Args:
        folder: the folder of images.
    """

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        self._file = home.home() / "cache" / "checked" / f"{digest[:32]}.json"

    def recall(self, names: Sequence[str], fingerprints: Fingerprints) -> list[str | None]:
        """Returns the error of each file, ``""`` if it is readable, None if it is not cached.

        Args:
            names: paths in the folder.
            fingerprints: of the same files.
        """
        try:
            cached, earlier, broken = self._read()
        except Exception:  # damaged files cause errors of many types
            return [None] * len(names)
        if cached == names:
            unchanged = (earlier == fingerprints).all(axis=1).tolist()
        else:
            before = dict(zip(cached, map(tuple, earlier.tolist()), strict=True))
            now = map(tuple, fingerprints.tolist())
            unchanged = [before.get(name) == each for name, each in zip(names, now, strict=True)]
        return [
            broken.get(name, "") if is_unchanged else None
            for name, is_unchanged in zip(names, unchanged, strict=True)
        ]

    def replace(
        self, names: Sequence[str], fingerprints: Fingerprints, reasons: Sequence[str]
    ) -> None:
        """Replaces all cached results, if the file can be written.

        Args:
            names: paths in the folder.
            fingerprints: of the same files.
            reasons: the error of each file, or ``""``.
        """
        content = {
            "pillow": PIL.__version__,
            # One string, which is parsed much faster than a hundred thousand.
            "names": "\0".join(names),
            "fingerprints": fingerprints.reshape(-1).tolist(),
            "broken": {name: reason for name, reason in zip(names, reasons, strict=True) if reason},
        }
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps(content))

    def _read(self) -> tuple[list[str], Fingerprints, dict[str, str]]:
        """Returns the names, the fingerprints and the errors of broken files by name.

        Raises:
            Exception: the file is missing or damaged.
        """
        content = json.loads(self._file.read_bytes())
        if content["pillow"] != PIL.__version__:
            raise ValueError("results of another version of Pillow")
        names = content["names"].split("\0")
        fingerprints = np.array(content["fingerprints"], dtype=np.int64).reshape(len(names), 2)
        return (
            names,
            fingerprints,
            {name: str(reason) for name, reason in content["broken"].items()},
        )
