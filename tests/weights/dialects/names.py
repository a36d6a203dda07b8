"""Names of other libraries' models, which ``benchmarks/parameter_names.py`` has compared.

``names.json.gz`` has, for each model, its names and shapes, and a signature of where each tensor
went when the logits were compared.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from isotune.catalogue.entries import BUILT_IN
from isotune.catalogue.layouts import layout, unpacked
from isotune.weights.dialects.canonical import to_canonical

FILE = Path(__file__).with_name("names.json.gz")
ENTRIES = {entry.name: entry for entry in BUILT_IN}
Shapes = Mapping[str, tuple[int, ...]]


def stored() -> dict[str, Any]:
    """Returns what is known of each model, by library and name."""
    found: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes())) if FILE.exists() else {}
    return found


def packed(shapes: Shapes) -> dict[str, str]:
    """Returns shapes by layer, as :func:`isotune.catalogue.layouts.unpacked` reads them."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, shape in shapes.items():
        path, _, last = name.rpartition(".")
        found.setdefault(path, {}).setdefault("x".join(map(str, shape)), []).append(last)
    return {
        path: " ".join(f"{','.join(names)}:{shape}" for shape, names in tensors.items())
        for path, tensors in found.items()
    }


def state(names: Shapes) -> dict[str, NDArray[np.float32]]:
    """Returns tensors that tell which of `names` each came from, and take no memory."""
    return {
        name: np.broadcast_to(np.float32(number), shape)
        for number, (name, shape) in enumerate(names.items(), 1)
    }


def traced(names: Shapes, backbone: str, file: str) -> dict[str, NDArray[Any]]:
    """Returns the canonical tensors of :func:`state`."""
    return to_canonical(state(names), ENTRIES[backbone], file, layout(backbone) or {}).tensors


def signature(tensors: Mapping[str, NDArray[Any]]) -> int:
    """Returns a number that tells whether each tensor has the same origin, or parts of origins."""
    lines = []
    for name, value in sorted(tensors.items()):
        first, middle, last = (value.flat[k] for k in (0, value.size // 2, -1))
        lines.append(f"{name} {value.shape} {first:.4g} {middle:.4g} {last:.4g}")
    return crc32("\n".join(lines).encode())


def shapes_of(model: Mapping[str, Any]) -> Shapes:
    """Returns the names and shapes of a model of :func:`stored`."""
    return unpacked(model["names"])
