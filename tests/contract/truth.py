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

from isotune.catalogue.entries import BUILT_IN
from isotune.interfaces.dataset import Batch
from isotune.testing.values import batch

FILE = Path(__file__).with_name("truth.json")
TRUTH: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}

CLASSES = 5
SEED = 7

WITH_LOGITS = (
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_lite0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "lenet",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
)
"""The backbones whose logits are in the file, one of each kind; of others, the parameters."""

TRAINED_WHOLE = (
    "alexnet",
    "convnext_tiny",
    "efficientnet_lite0",
    "googlenet",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "swin_t",
    "vit_b_32",
)
"""Those of which all parameters are trained, so that each kind of layer has its gradient compiled.

Of others only the last layer is, in training mode nevertheless: the logits are the same, and
MindSpore compiles them in half the time.
"""

CATALOGUE = {entry.name: entry for entry in BUILT_IN}


def images(name: str) -> Batch:
    """Returns the two images that a backbone's truth is about: small ones, if it takes them."""
    entry = CATALOGUE[name]
    side = max(64, entry.min_input_size)
    if entry.max_input_size is not None and entry.max_input_size < side:
        side = entry.min_input_size
    return batch("truth", 2, side=side, classes=CLASSES)


def signature(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Returns a summary that two models share only if all names and shapes are equal."""
    lines = "\n".join(f"{name} {tuple(shape)}" for name, shape in sorted(shapes.items()))
    elements = sum(int(np.prod(shape)) for shape in shapes.values())
    return {"tensors": len(shapes), "elements": elements, "crc32": crc32(lines.encode())}
