"""Which parts of torchvision's models are their stages: what torchvision itself does not say.

So are the blocks of its transformers.

A stage ends with its activation where that has a path: its output is the stage's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import nn

FAMILIES = {
    "alexnet": r"alexnet",
    "convnext": r"convnext_\w+",
    "densenet": r"densenet\d+",
    "efficientnet": r"efficientnet_b\d",
    "efficientnet_v2": r"efficientnet_v2_\w",
    "googlenet": r"googlenet",
    "inception": r"inception_v3",
    "maxvit": r"maxvit_t",
    "mnasnet": r"mnasnet\w+",
    "mobilenet_v2": r"mobilenet_v2",
    "mobilenet_v3": r"mobilenet_v3_\w+",
    "regnet_x": r"regnet_x_\w+",
    "regnet_y": r"regnet_y_\w+",
    "resnet": r"resnet\d+",
    "resnext": r"resnext\w+",
    "shufflenet_v2": r"shufflenet_v2_\w+",
    "squeezenet": r"squeezenet\w+",
    "swin": r"swin_[tsb]",
    "swin_v2": r"swin_v2_[tsb]",
    "vgg": r"vgg\d+(_bn)?",
    "vit": r"vit_\w+",
    "wide_resnet": r"wide_resnet\w+",
}


def family(name: str) -> str:
    """Returns the family of a model."""
    (found,) = (key for key, pattern in FAMILIES.items() if re.fullmatch(pattern, name))
    return found


def stages(name: str, model: nn.Module) -> dict[str, list[str]]:
    """Returns the paths of each stage."""
    table = STAGES.get(name) or STAGES.get(family(name))
    return table if isinstance(table, dict) else counted(family(name), model)


def blocks(name: str, model: nn.Module) -> dict[str, list[str]]:
    """Returns the paths of each block of a transformer; empty for other models.

    Patch merging belongs to the block after it, and the last normalization to the last block.
    """
    kind, found = family(name), stages(name, model)
    if kind == "vit":
        # Its stages are its blocks.
        middle = [paths for stage, paths in found.items() if stage.startswith("stage")]
    elif kind in ("swin", "swin_v2"):
        middle = swin_blocks(model.features)
        middle[-1].append("norm")
    elif kind == "maxvit":
        middle = [
            [f"blocks.{i}.layers.{j}"]
            for i, stage in enumerate(model.blocks)
            for j in range(len(stage.layers))
        ]
    else:
        return {}
    numbered = {f"block{i}": paths for i, paths in enumerate(middle, 1)}
    return {"stem": found["stem"], **numbered, "head": found["head"]}


def swin_blocks(features: nn.Sequential) -> list[list[str]]:
    """Returns the paths of each block of a Swin Transformer."""
    found: list[list[str]] = []
    merging: list[str] = []
    for place, part in enumerate(features):
        if place == 0:
            continue  # the stem
        if not isinstance(part, nn.Sequential):
            merging = [f"features.{place}"]
            continue
        for i in range(len(part)):
            found.append([*merging, f"features.{place}.{i}"])
            merging = []
    return found


def counted(kind: str, model: nn.Module) -> dict[str, list[str]]:
    """Returns the stages of a family whose models differ in how many layers they have."""
    if kind.startswith("efficientnet"):
        last = len(model.features) - 1
        middle = {f"stage{i}": [f"features.{i}"] for i in range(1, last)}
        middle[f"stage{last - 1}"].append(f"features.{last}")
        return {"stem": ["features.0"], **middle, "head": ["classifier"]}
    if kind == "vit":
        layers = len(model.encoder.layers)
        middle = {f"stage{i + 1}": [f"encoder.layers.encoder_layer_{i}"] for i in range(layers)}
        middle[f"stage{layers}"].append("encoder.ln")
        stem = ["class_token", "conv_proj", "encoder.pos_embedding"]
        return {"stem": stem, **middle, "head": ["heads"]}
    assert kind == "vgg"
    return {**dict(between_pools(model.features)), "head": ["classifier"]}


def between_pools(features: nn.Sequential) -> Iterator[tuple[str, list[str]]]:
    """Yields the layers with parameters before each pooling of a VGG, and the last activation."""
    number, found = 0, []
    for place, layer in enumerate(features):
        if isinstance(layer, nn.MaxPool2d):
            found.append(f"features.{place - 1}")
            yield (f"stage{number}" if number else "stem"), found
            number, found = number + 1, []
        elif list(layer.parameters()):
            found.append(f"features.{place}")


def features(*groups: tuple[int, int]) -> dict[str, list[str]]:
    """Returns the stages of a model whose layers are counted, by the first and last of each."""
    names = ["stem", *(f"stage{i}" for i in range(1, len(groups)))]
    found = {
        name: [f"features.{i}" for i in range(first, last + 1)]
        for name, (first, last) in zip(names, groups, strict=True)
    }
    return {**found, "head": ["classifier"]}


RESNET = {
    "stem": ["conv1", "bn1", "relu"],
    **{f"stage{i}": [f"layer{i}"] for i in range(1, 5)},
    "head": ["fc"],
}
REGNET = {
    "stem": ["stem"],
    **{f"stage{i}": [f"trunk_output.block{i}"] for i in range(1, 5)},
    "head": ["fc"],
}
SWIN = {
    "stem": ["features.0"],
    "stage1": ["features.1"],
    "stage2": ["features.2", "features.3"],
    "stage3": ["features.4", "features.5"],
    "stage4": ["features.6", "features.7", "norm"],
    "head": ["head"],
}

STAGES: dict[str, dict[str, list[str]]] = {
    "alexnet": {
        "stem": ["features.0", "features.1"],
        **{
            f"stage{i + 1}": [f"features.{place}", f"features.{place + 1}"]
            for i, place in enumerate((3, 6, 8, 10))
        },
        "head": ["classifier"],
    },
    "convnext": features((0, 0), (1, 1), (2, 3), (4, 5), (6, 7)),
    "densenet": {
        "stem": ["features.conv0", "features.norm0"],
        **{
            f"stage{i}": [f"features.denseblock{i}", f"features.transition{i}"] for i in range(1, 4)
        },
        "stage4": ["features.denseblock4", "features.norm5"],
        "head": ["classifier"],
    },
    "googlenet": {
        "stem": ["conv1", "conv2", "conv3"],
        "stage1": ["inception3a", "inception3b"],
        "stage2": [f"inception4{letter}" for letter in "abcde"],
        "stage3": ["inception5a", "inception5b"],
        "head": ["aux1", "aux2", "fc"],
    },
    "inception": {
        "stem": [f"Conv2d_{place}" for place in ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")],
        "stage1": [f"Mixed_5{letter}" for letter in "bcd"],
        "stage2": [f"Mixed_6{letter}" for letter in "abcde"],
        "stage3": [f"Mixed_7{letter}" for letter in "abc"],
        "head": ["AuxLogits", "fc"],
    },
    "maxvit": {
        "stem": ["stem"],
        **{f"stage{i}": [f"blocks.{i - 1}"] for i in range(1, 5)},
        "head": ["classifier"],
    },
    "mnasnet": {
        "stem": [f"layers.{i}" for i in (0, 1, 3, 4, 6, 7)],
        **{f"stage{i}": [f"layers.{i + 7}"] for i in range(1, 6)},
        "stage6": [f"layers.{i}" for i in (13, 14, 15, 16)],
        "head": ["classifier"],
    },
    "mobilenet_v2": features((0, 0), (1, 1), (2, 3), (4, 6), (7, 13), (14, 18)),
    "mobilenet_v3_large": features((0, 0), (1, 1), (2, 3), (4, 6), (7, 12), (13, 16)),
    "mobilenet_v3_small": features((0, 0), (1, 1), (2, 3), (4, 8), (9, 12)),
    "regnet_x": REGNET,
    "regnet_y": REGNET,
    "resnet": RESNET,
    "resnext": RESNET,
    # The paper's own numbers, which are also torchvision's paths.
    "shufflenet_v2": {
        "stem": ["conv1"],
        "stage2": ["stage2"],
        "stage3": ["stage3"],
        "stage4": ["stage4", "conv5"],
        "head": ["fc"],
    },
    "squeezenet1_0": {
        "stem": ["features.0", "features.1"],
        "stage1": ["features.3", "features.4", "features.5"],
        "stage2": ["features.7", "features.8", "features.9", "features.10"],
        "stage3": ["features.12"],
        "head": ["classifier"],
    },
    "squeezenet1_1": {
        "stem": ["features.0", "features.1"],
        "stage1": ["features.3", "features.4"],
        "stage2": ["features.6", "features.7"],
        "stage3": [f"features.{i}" for i in (9, 10, 11, 12)],
        "head": ["classifier"],
    },
    "swin": SWIN,
    "swin_v2": SWIN,
    "wide_resnet": RESNET,
}
"""By model or family; of what images of the same size pass through, or as a paper counts them."""
