"""Arbitrary values that are the same everywhere: from NumPy's Philox words alone (NEP 19)."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Batch, Normalization

NORMALIZATION = Normalization(mean=(0.5, 0.4, 0.3), std=(0.25, 0.3, 0.35))


def words(name: str, count: int) -> NDArray[np.uint64]:
    """Returns `count` 64-bit words that depend on `name` alone."""
    return np.random.Philox(key=crc32(name.encode())).random_raw(count)


def uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float32]:
    """Returns numbers between `low` and `high` that depend on `name` alone."""
    philox = np.random.Philox(key=crc32(name.encode()))
    values = np.empty(int(np.prod(shape)), np.float32)
    for start in range(0, values.size, 1 << 14):  # what a processor's cache holds
        piece = values[start : start + (1 << 14)]
        unit = (philox.random_raw(piece.size) >> np.uint64(11)) * 2.0**-53
        piece[:] = low + (high - low) * unit
    return values.reshape(shape)


def state(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Returns a model's state with signals of order 1 and BatchNorm statistics that matter."""
    values = {}
    for name, shape in shapes.items():
        kind = name.rsplit(".", 1)[-1]
        if kind.endswith("weight") and len(shape) > 1:
            bound = float(np.sqrt(6 / np.prod(shape[1:])))
            low, high = -bound, bound
        else:
            low, high = {"weight": (0.25, 0.75), "running_var": (0.5, 2.0)}.get(kind, (-0.2, 0.2))
        values[name] = uniform(f"{seed}/{name}", shape, low, high)
    return values


def batch(name: str, size: int, side: int = 8, classes: int = 3) -> Batch:
    """Returns random square images with random labels."""
    pixels = words(f"{name}/images", size * side * side * 3) % np.uint64(256)
    labels = words(f"{name}/labels", size) % np.uint64(classes)
    images = pixels.astype(np.uint8).reshape(size, side, side, 3)
    return Batch(images, labels.astype(np.int32))


def batches(name: str, sizes: list[int]) -> list[Batch]:
    """Returns a batch of each of these sizes."""
    return [batch(f"{name}/{i}", size) for i, size in enumerate(sizes)]
