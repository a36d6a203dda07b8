"""Writes ``src/isotune/catalogue/layouts.json`` from torchvision's models.

PYTHONPATH=tests python -m catalogue.make_layouts
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import torchvision
from torchvision.models import list_models

from isotune.catalogue.layouts import FILE
from isotune.interfaces.names import NO_STATE
from isotune_torch.backbone import BUILDERS, WithoutRandomValues


def layout(name: str) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a model's tensors, in torchvision's order."""
    with WithoutRandomValues():
        tensors = BUILDERS[name]().state_dict()
    kept = {key: value for key, value in tensors.items() if key.rpartition(".")[2] not in NO_STATE}
    return {key: tuple(value.shape) for key, value in kept.items()}


def layers(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Returns shapes by layer, as :func:`isotune.catalogue.layouts.unpacked` reads them."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, shape in shapes.items():
        path, _, last = name.rpartition(".")
        found.setdefault(path, {}).setdefault("x".join(map(str, shape)), []).append(last)
    return {
        path: " ".join(f"{','.join(names)}:{shape}" for shape, names in tensors.items())
        for path, tensors in found.items()
    }


def main() -> None:
    lines = (
        f"{json.dumps(name)}: {json.dumps(layers(layout(name)), separators=(',', ':'))}"
        for name in list_models(module=torchvision.models)
    )
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
