"""The catalogue's backbones as torchvision and the reference know them: ``truth.json``.

``PYTHONPATH=tests python -m contract.make_truth`` writes that file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from contract.values import batch
from isotune.interfaces.dataset import Batch
from isotune.weights.catalogue import BUILT_IN

FILE = Path(__file__).with_name("truth.json")
TRUTH: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}

CLASSES = 5
SEED = 7

WITH_LOGITS = ("alexnet", "efficientnet_lite0", "lenet", "mobilenet_v2", "resnet18", "vgg11_bn")
"""The backbones whose logits are in the file, one of each kind; of others, the parameters."""

CATALOGUE = {entry.name: entry for entry in BUILT_IN}


def pictures(name: str) -> Batch:
    """Returns the two pictures that a backbone's truth is about."""
    return batch("truth", 2, side=32 if name == "lenet" else 64, classes=CLASSES)


def signature(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Returns a summary that two models share only if all names and shapes are equal."""
    lines = "\n".join(f"{name} {tuple(shape)}" for name, shape in sorted(shapes.items()))
    elements = sum(int(np.prod(shape)) for shape in shapes.values())
    return {"tensors": len(shapes), "elements": elements, "crc32": crc32(lines.encode())}
