"""Writes ``src/isotune/catalogue/layouts.json`` from torchvision's models.

PYTHONPATH=tests python -m catalogue.make_layouts
"""

from __future__ import annotations

import json

import torchvision
from torchvision.models import list_models

from isotune.catalogue.layouts import FILE
from isotune.interfaces.names import NO_STATE
from isotune_torch.backbone import BUILDERS, WithoutRandomValues
from weights.dialects.names import packed


def layout(name: str) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a model's tensors, in torchvision's order."""
    with WithoutRandomValues():
        tensors = BUILDERS[name]().state_dict()
    kept = {key: value for key, value in tensors.items() if key.rpartition(".")[2] not in NO_STATE}
    return {key: tuple(value.shape) for key, value in kept.items()}


def main() -> None:
    lines = (
        f"{json.dumps(name)}: {json.dumps(packed(layout(name)), separators=(',', ':'))}"
        for name in list_models(module=torchvision.models)
    )
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()
