"""Caches indexes of files that hold many images, so that the next run need not make them again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.stamps import settled, stamp
from isotune.storage.caches import INDEXES
from isotune.storage.sealed import cache_sealed, open_sealed

Index = Mapping[str, NDArray[Any]]
"""Arrays of numbers, by name."""

_SMALL = 1 << 16
"""Number of bytes of an index that is not worth a file: it took some hundredths of a second."""


def cached_index(path: Path, purpose: str, build: Callable[[], Index]) -> Index:
    """Returns the index of a file: from the cache as long as the file has not changed.

    Caches are files in ``$ISOTUNE_HOME/cache/indexes``. If one cannot be read or written, nothing
    is cached.

    Args:
        path: The file.
        purpose: What the index is for, with everything that it depends on beside the file.
        build: Makes the index.

    Returns:
        What `build` returned, and ``stamp``: the file's stamp before, int64, shape (4,).
    """
    now, current = time.time_ns(), np.array(stamp(str(path)), np.int64)
    place = os.fsencode(path.resolve()) + b"\0" + purpose.encode()
    key = hashlib.sha256(place).hexdigest()[:32]
    cache = INDEXES.folder / f"{key}.index"
    data = open_sealed(cache, key, np.uint8)
    if data is not None:
        with contextlib.suppress(ValueError, LookupError, OSError, EOFError, zipfile.BadZipFile):
            with np.load(io.BytesIO(data.tobytes()), allow_pickle=False) as file:
                index = dict(file)
            if (index["stamp"] == current).all():
                return index
    built = {**build(), "stamp": current}
    worth = sum(array.nbytes for array in built.values()) >= _SMALL
    if worth and settled(current[None], now).all() and (current == stamp(str(path))).all():
        buffer = io.BytesIO()
        np.savez(buffer, **built)
        cache_sealed(cache, key, np.frombuffer(buffer.getbuffer(), np.uint8))
    return built
