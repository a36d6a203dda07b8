"""The canonical names and shapes of the built-in backbones, known without a framework.

They are torchvision's, with 1000 classes (LeNet: 10). Dialects and conversions rest on them; a
backend builds its models from its own code, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

RESNET_REPEATS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
"""Blocks of each stage: table 1 of He et al., 2015."""

VGG_REPEATS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""Convolutions of each stage: table 1 of Simonyan and Zisserman, 2014."""

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


def _resnet(repeats: tuple[int, ...], expansion: int) -> Shapes:
    shapes = normalized("conv1", "bn1", 64, 3, 7, 7)
    inputs = 64
    for stage, count in enumerate(repeats):
        width = 64 << stage
        for b in range(count):
            path, outputs = f"layer{stage + 1}.{b}", width * expansion
            plain = [(width, inputs, 3, 3), (width, width, 3, 3)]
            bottleneck = [(width, inputs, 1, 1), (width, width, 3, 3), (outputs, width, 1, 1)]
            for k, weight in enumerate(bottleneck if expansion > 1 else plain, 1):
                shapes |= normalized(f"{path}.conv{k}", f"{path}.bn{k}", *weight)
            if b == 0 and inputs != outputs:
                down = f"{path}.downsample"
                shapes |= normalized(f"{down}.0", f"{down}.1", outputs, inputs, 1, 1)
            inputs = outputs
    return shapes | layer("fc", 1000, inputs)


def _vgg(repeats: tuple[int, ...], norm: bool) -> Shapes:
    shapes: Shapes = {}
    inputs, index = 3, 0
    for width, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
        for _ in range(count):
            shapes |= layer(f"features.{index}", width, inputs, 3, 3)
            shapes |= batch_norm(f"features.{index + 1}", width) if norm else {}
            index += 3 if norm else 2
            inputs = width
        index += 1
    shapes |= layer("classifier.0", 4096, 512 * 7 * 7) | layer("classifier.3", 4096, 4096)
    return shapes | layer("classifier.6", 1000, 4096)


def _alexnet() -> Shapes:
    weights = {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 256 * 6 * 6),
        "classifier.4": (4096, 4096),
        "classifier.6": (1000, 4096),
    }
    return _layers(weights)


def _lenet() -> Shapes:
    weights = {"conv1": (6, 3, 5, 5), "conv2": (16, 6, 5, 5)}
    return _layers({**weights, "fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)})


def _layers(weights: Mapping[str, Shape]) -> Shapes:
    return {name: s for path, w in weights.items() for name, s in layer(path, *w).items()}


def _mobilenet_v2() -> Shapes:
    shapes = normalized("features.0.0", "features.0.1", 32, 3, 3, 3)
    inputs, index = 32, 0
    for expansion, channels, repeats, kernel in MOBILENET_V2_STAGES:
        for _ in range(repeats):
            index += 1
            path, width = f"features.{index}.conv", inputs * expansion
            *first, last = inverted_residual(inputs, width, channels, kernel)
            for k, weight in enumerate(first):
                shapes |= normalized(f"{path}.{k}.0", f"{path}.{k}.1", *weight)
            k = len(first)
            shapes |= normalized(f"{path}.{k}", f"{path}.{k + 1}", *last)
            inputs = channels
    shapes |= normalized("features.18.0", "features.18.1", 1280, inputs, 1, 1)
    return shapes | layer("classifier.1", 1000, 1280)


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


LAYOUTS: Mapping[str, Callable[[], Shapes]] = MappingProxyType(
    {
        "alexnet": _alexnet,
        "efficientnet_lite0": _efficientnet_lite0,
        "lenet": _lenet,
        "mobilenet_v2": _mobilenet_v2,
        **{
            name: partial(_resnet, repeats, 1 if name in ("resnet18", "resnet34") else 4)
            for name, repeats in RESNET_REPEATS.items()
        },
        **{name: partial(_vgg, repeats, False) for name, repeats in VGG_REPEATS.items()},
        **{f"{name}_bn": partial(_vgg, repeats, True) for name, repeats in VGG_REPEATS.items()},
    }
)
"""Makes shapes by canonical name, in torchvision's order, by backbone."""
