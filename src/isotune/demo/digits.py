"""Writes the scanned digits that scikit-learn ships to a folder of images, once.

1797 digits of 8 x 8 pixels with levels 0 to 16, from "Optical Recognition of Handwritten
Digits" (E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning Repository, CC BY 4.0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isotune.demo.folder import kept_folder

TRAIN, VAL = 800, 300
"""Numbers of images; scikit-learn has more, but the demo should take two minutes."""

LEVELS = 16
SEED = 0


def digits_folder() -> Path:
    """Returns the dataset's folder under ``$ISOTUNE_HOME/datasets``; writes it if it is missing.

    It contains ``{train,val}/{0..9}/NUMBER.png``, where NUMBER is the image's index in
    scikit-learn's data.

    Raises:
        DatasetError: the folder cannot be written.
        ImportError: scikit-learn is not installed.
    """
    return kept_folder(f"digits-{TRAIN}-{VAL}", lambda folder: _write(folder, *_load()))


def stratified(labels: NDArray[np.int64], sizes: tuple[int, ...]) -> list[NDArray[np.int64]]:
    """Selects random parts of a dataset, stratified by class.

    Args:
        labels: int64, shape (N,).
        sizes: number of images of each part, together N at most.

    Returns:
        For each part the sorted indices of its images: int64, shape (size,).
    """
    random = np.random.Generator(np.random.Philox(SEED))
    order = np.argsort(random.bit_generator.random_raw(len(labels)), kind="stable")
    # Sorted by an image's relative rank in its class, every contiguous part is stratified.
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        rank[members] = (np.arange(len(members)) + 0.5) / len(members)
    spread = order[np.argsort(rank[order], kind="stable")]
    return [np.sort(part) for part in np.split(spread, np.cumsum(sizes))[:-1]]


def _load() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns images, uint8 of shape (N, 8, 8), and labels, int64 of shape (N,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.round(digits.images * (255 / LEVELS)).astype(np.uint8), digits.target


def _write(folder: Path, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    from PIL import Image

    parts = zip(("train", "val"), stratified(labels, (TRAIN, VAL)), strict=True)
    for split, positions in parts:
        for label in np.unique(labels):
            (folder / split / str(label)).mkdir(parents=True)
        for position in positions:
            image = folder / split / str(labels[position]) / f"{position:04d}.png"
            Image.fromarray(images[position]).save(image)
