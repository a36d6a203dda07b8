"""Remembers which image files were found sound, so that the next run need not read them.

A verdict holds as long as the file keeps its size and its time of modification, and Pillow
its version.
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
"""Of each file its size in bytes and its time of modification in nanoseconds: shape (N, 2)."""


class IntegrityCache:
    """What is wrong with the image files of one folder, by their paths in it.

    PixelCaches in a file under ``$ISOTUNE_HOME/cache/checked``; a file that cannot be read or
    written only means that nothing is remembered.
    """

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        self._file = home.home() / "cache" / "checked" / f"{digest[:32]}.json"

    def recall(self, names: Sequence[str], fingerprints: Fingerprints) -> list[str | None]:
        """Returns what is wrong with each file, ``""`` if nothing is, None if it is not known."""
        try:
            known, then, broken = self._read()
        except Exception:  # damaged files make many kinds of them
            return [None] * len(names)
        if known == names:
            same = (then == fingerprints).all(axis=1).tolist()
        else:
            fingerprint = dict(zip(known, map(tuple, then.tolist()), strict=True))
            found = map(tuple, fingerprints.tolist())
            same = [fingerprint.get(name) == now for name, now in zip(names, found, strict=True)]
        return [
            broken.get(name, "") if is_same else None
            for name, is_same in zip(names, same, strict=True)
        ]

    def replace(
        self, names: Sequence[str], fingerprints: Fingerprints, reasons: Sequence[str]
    ) -> None:
        """Forgets everything and remembers these verdicts, on disk if that can be."""
        content = {
            "pillow": PIL.__version__,
            # In one piece, which is read much faster than a hundred thousand.
            "names": "\0".join(names),
            "fingerprints": fingerprints.reshape(-1).tolist(),
            "broken": {name: reason for name, reason in zip(names, reasons, strict=True) if reason},
        }
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps(content))

    def _read(self) -> tuple[list[str], Fingerprints, dict[str, str]]:
        """Returns the names, fingerprints and what is wrong with those that are broken.

        Raises:
            Exception: there is no such file, or it is damaged.
        """
        content = json.loads(self._file.read_bytes())
        if content["pillow"] != PIL.__version__:
            raise ValueError("another decoder's verdicts")
        names = content["names"].split("\0")
        fingerprints = np.array(content["fingerprints"], dtype=np.int64).reshape(len(names), 2)
        return (
            names,
            fingerprints,
            {name: str(reason) for name, reason in content["broken"].items()},
        )
