"""Third-party backbones for the contract, built natively for each framework."""

from __future__ import annotations

from typing import Any

from isotune.interfaces.backbone import BackboneEntry, Preprocessing
from numpy_backend.plugin import LINEAR

FRAMEWORKS = ("torch", "mindspore")


def entry(name: str, **fields: Any) -> BackboneEntry:
    builders = {framework: f"contract.nets_{framework}:{name}" for framework in FRAMEWORKS}
    return BackboneEntry(
        name,
        LINEAR.classifier,
        preprocessing=Preprocessing(input_size=8, resize_size=8),
        builders=builders,
        **fields,
    )


ENTRIES = {
    "linear": entry("linear"),
    "tiny_bn": entry("tiny_bn", stages={"stem": ("conv", "bn"), "head": ("fc",)}),
    "tiny_dropout": entry("tiny_dropout"),
}
"""``linear`` the NumPy backend also builds by itself."""

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "linear": {"fc.weight": (3, 192), "fc.bias": (3,)},
    "tiny_bn": {
        "conv.weight": (4, 3, 3, 3),
        "bn.weight": (4,),
        "bn.bias": (4,),
        "bn.running_mean": (4,),
        "bn.running_var": (4,),
        "fc.weight": (3, 4),
        "fc.bias": (3,),
    },
    "tiny_dropout": {
        "hidden.weight": (16, 192),
        "hidden.bias": (16,),
        "fc.weight": (3, 16),
        "fc.bias": (3,),
    },
}
