from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Save = Callable[..., Path]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image in which no two neighbouring pixels are likely the same."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ``$ISOTUNE_HOME``."""
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Saves a noise image: ``save("train/a/1.jpg", width, height, seed)``."""

    def write(name: str, width: int = 20, height: int = 16, seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(width, height, seed).save(path)
        return path

    return write
