"""A tiny dataset, experiments on it, and plugins with the example backend."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import numpy_backend.plugin
from isotune.plugins import Plugins

CLASSES = {"ants": 60, "bees": 180, "cats": 120}
"""Class names and how bright their images are."""


def numpy_plugins() -> Plugins:
    """Returns the plugins of this environment, with the NumPy backend."""
    plugins = Plugins()
    plugins.register(numpy_backend.plugin, "numpy")
    return plugins


def make_images(root: Path, train: int = 3, val: int = 2, size: int = 8) -> Path:
    """Writes `train` and `val` PNG images a class, `size` pixels wide, and returns `root`."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name, level in CLASSES.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.normal(level, 30, (size, size, 3)).clip(0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


def make_fewer_bees(images: Path, copy: Path) -> Path:
    """Copies the images of :func:`make_images` with one training image of bees, and returns it."""
    shutil.copytree(images, copy)
    for bee in sorted((copy / "train" / "bees").iterdir())[1:]:
        bee.unlink()
    return copy


def experiment(images: Path, **changes: Any) -> dict[str, Any]:
    """Returns a spec that trains the NumPy backend's ``linear`` on `images`, 8 pixels wide."""
    spec = {
        "name": "tiny",
        "dataset": {"path": str(images)},
        "transforms": {
            "train": [{"random_crop": {"size": 8, "padding": 1}}, "random_horizontal_flip"],
            "val": [{"resize": [8, 8]}],
        },
        "batch_size": 4,
        "backbone": {"name": "linear", "weights": "none"},
        "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
        "epochs": 2,
    }
    return {**spec, **changes}
