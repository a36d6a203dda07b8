"""The canonical names and shapes of the built-in backbones, known without a framework.

They are torchvision's, with 1000 classes (LeNet: 10). Dialects and conversions rest on them; a
backend builds its models from its own code, and a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

FILE = Path(__file__).with_name("layouts.json")
"""The layouts of torchvision's models, by layer; ``tests/catalogue/make_layouts.py`` makes it."""

MOBILENET_V2_STAGES = (
    (1, 16, 1, 3),
    (6, 24, 2, 3),
    (6, 32, 3, 3),
    (6, 64, 4, 3),
    (6, 96, 3, 3),
    (6, 160, 3, 3),
    (6, 320, 1, 3),
)
"""(expansion, channels, repeats, kernel) of each stage: table 2 of Sandler et al., 2018."""

EFFICIENTNET_LITE0_STAGES = (
    (1, 16, 1, 3),
    (6, 24, 2, 3),
    (6, 40, 2, 5),
    (6, 80, 3, 3),
    (6, 112, 3, 5),
    (6, 192, 4, 5),
    (6, 320, 1, 3),
)


def layer(path: str, *weight: int, bias: bool = True) -> Shapes:
    """Returns a convolution or linear layer."""
    return {f"{path}.weight": weight, **({f"{path}.bias": weight[:1]} if bias else {})}


def batch_norm(path: str, width: int) -> Shapes:
    """Returns a BatchNorm with its statistics."""
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{path}.{name}": (width,) for name in names}


def normalized(conv: str, norm: str, *weight: int, bias: bool = False) -> Shapes:
    """Returns a convolution with the BatchNorm behind it."""
    return layer(conv, *weight, bias=bias) | batch_norm(norm, weight[0])


def _lenet() -> Shapes:
    weights = {"conv1": (6, 3, 5, 5), "conv2": (16, 6, 5, 5)}
    return _layers({**weights, "fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)})


def _layers(weights: Mapping[str, Shape]) -> Shapes:
    return {name: s for path, w in weights.items() for name, s in layer(path, *w).items()}


def _efficientnet_lite0() -> Shapes:
    shapes = normalized("features.0.0", "features.0.1", 32, 3, 3, 3)
    inputs = 32
    for stage, (expansion, channels, repeats, kernel) in enumerate(EFFICIENTNET_LITE0_STAGES, 1):
        for b in range(repeats):
            path, width = f"features.{stage}.{b}.block", inputs * expansion
            for k, weight in enumerate(inverted_residual(inputs, width, channels, kernel)):
                shapes |= normalized(f"{path}.{k}.0", f"{path}.{k}.1", *weight)
            inputs = channels
    shapes |= normalized("features.8.0", "features.8.1", 1280, inputs, 1, 1)
    return shapes | layer("classifier.1", 1000, 1280)


def inverted_residual(inputs: int, width: int, outputs: int, kernel: int) -> list[Shape]:
    """Returns the weights of its convolutions: expansion (if any), depthwise, projection."""
    expand = [(width, inputs, 1, 1)] if width != inputs else []
    return [*expand, (width, 1, kernel, kernel), (outputs, width, 1, 1)]


def layout(backbone: str) -> Shapes | None:
    """Returns shapes by canonical name, in torchvision's order; None if it is not built in."""
    own = {"efficientnet_lite0": _efficientnet_lite0, "lenet": _lenet}
    if backbone in own:
        return own[backbone]()
    packed = _packed().get(backbone)
    return None if packed is None else unpacked(packed)


def unpacked(layers: Mapping[str, str]) -> Shapes:
    """Returns the shapes that :data:`FILE` says of a model.

    A layer's are ``weight:64x3x7x7 bias:64``, or ``weight,bias:64`` for names of one shape.
    """
    shapes: Shapes = {}
    for path, tensors in layers.items():
        for names, shape in (group.split(":") for group in tensors.split()):
            numbers = tuple(int(number) for number in shape.split("x"))
            shapes |= {f"{path}.{name}" if path else name: numbers for name in names.split(",")}
    return shapes


@cache
def _packed() -> dict[str, dict[str, str]]:
    packed: dict[str, dict[str, str]] = json.loads(FILE.read_text("utf-8"))
    return packed
