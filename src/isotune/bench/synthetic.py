"""Generates images of the size and decoding cost of typical photographs on the web."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375
CLASSES = ("first", "second")
COARSE = 25
"""Pixels between the values that an image is interpolated from."""


def make_dataset(folder: Path, train: int, val: int) -> Path:
    """Writes a dataset of JPEG images and returns its folder.

    Args:
        folder: the dataset's folder, which must not exist.
        train: number of training images of each of :data:`CLASSES`.
        val: number of validation images of each class.
    """
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name in CLASSES:
            class_folder = folder / split / name
            class_folder.mkdir(parents=True)
            for number in range(count):
                image(rng).save(class_folder / f"{number:05d}.jpg", quality=85)
    return folder


def image(rng: np.random.Generator) -> Image.Image:
    """Returns an RGB image of WIDTH x HEIGHT pixels: smooth shapes with some noise."""
    coarse = rng.integers(0, 256, (HEIGHT // COARSE, WIDTH // COARSE, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 8, (HEIGHT, WIDTH, 3))
    return Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8))
