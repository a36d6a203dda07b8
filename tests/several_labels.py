"""Tiny images that have any number of labels: each channel that is bright is a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tiny import experiment

CLASSES = ("blue", "green", "red")
CHANNELS = {"red": 0, "green": 1, "blue": 2}


def make_table(root: Path, train: int = 24, val: int = 12, size: int = 8) -> Path:
    """Writes images, and a table of them with several labels each; returns the table."""
    generator = np.random.default_rng(0)
    lines = ["image,labels,split"]
    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            labels = [name for bit, name in enumerate(CLASSES) if number >> bit & 1]
            pixels = generator.normal(80, 30, (size, size, 3)) + generator.normal(0, 35, 3)
            for name in labels:
                pixels[..., CHANNELS[name]] += 90
            file = f"{split}-{number}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / file)
            lines.append(f"{file},{'|'.join(labels)},{split}")
    table = root / "table.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def several(table: Path, **changes: Any) -> dict[str, Any]:
    """Returns a spec that trains the NumPy backend's ``linear`` on the table."""
    dataset = {
        "format": "table",
        "path": str(table),
        "targets": "multi_label",
        "separator": "|",
    }
    return experiment(table, dataset=dataset, **changes)
