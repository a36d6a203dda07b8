"""Caches what images look like, by their digests, so that they need not be decoded again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.stamps import DIGEST, Digests
from isotune.storage.caches import LOOKS
from isotune.storage.sealed import cache_sealed, open_sealed


def load_looks(
    place: str, version: str, digests: Digests, records: NDArray[Any]
) -> NDArray[np.bool_]:
    """Copies what is cached into `records`.

    Args:
        place: Names the images' source.
        version: Changes whenever other records might be made of the same images.
        digests: The images' digests.
        records: A structured array for the records, shape (N,).

    Returns:
        Which records were cached: bool, shape (N,).
    """
    file, key = _file(place, version)
    data = open_sealed(file, key, np.uint8)
    width = DIGEST + records.dtype.itemsize
    if data is None or data.ndim != 2 or data.shape[1] != width or not len(data):
        return np.zeros(len(records), np.bool_)
    cached = _comparable(data[:, :DIGEST])
    order = np.argsort(cached)
    sought = _comparable(digests)
    places = order[np.searchsorted(cached, sought, sorter=order).clip(max=len(cached) - 1)]
    found: NDArray[np.bool_] = cached[places] == sought
    content = np.ascontiguousarray(data[places[found], DIGEST:])
    records[found] = content.view(records.dtype)[:, 0]
    return found


def save_looks(place: str, version: str, digests: Digests, records: NDArray[Any]) -> None:
    """Caches `records` by `digests`, in place of those of `place` that were cached before."""
    file, key = _file(place, version)
    content = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), -1)
    cache_sealed(file, key, np.concatenate([digests, content], axis=1))


def _comparable(digests: Digests) -> NDArray[Any]:
    """Returns digests as values that can be sorted: shape (N,)."""
    # Not as text, whose trailing zeros NumPy ignores.
    return np.ascontiguousarray(digests).view([("high", ">u8"), ("low", ">u8")])[:, 0]


def _file(place: str, version: str) -> tuple[Path, str]:
    """Returns a place's file, and the key that its content must have."""
    name = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    key = hashlib.sha256(f"{name} {version}".encode()).hexdigest()
    return LOOKS.folder / f"{name}.looks", key
