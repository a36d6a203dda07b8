"""CIFAR-10's binary layout, written small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def make_cifar10(root: Path, records: int = 3, seed: int = 0) -> Path:
    """Writes six files of `records` random records each, and the class names, into `root`."""
    root.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = generator.integers(0, 256, (records, 3073), dtype=np.uint8)
        content[:, 0] = np.arange(records) % 10
        content.tofile(root / f"{name}.bin")
    (root / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return root


def pixels(file: Path, record: int) -> NDArray[np.uint8]:
    """Reads an image as the format is described: shape (32, 32, 3)."""
    data = file.read_bytes()[record * 3073 : (record + 1) * 3073]
    image = np.zeros((32, 32, 3), np.uint8)
    for position, value in enumerate(data[1:]):
        plane, place = divmod(position, 1024)
        image[place // 32, place % 32, plane] = value
    return image
