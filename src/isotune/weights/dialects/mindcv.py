"""The names of MindCV 0.3."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache

from isotune.catalogue.layouts import layout
from isotune.weights.dialects.blocks import Block, Network, network
from isotune.weights.dialects.dialect import HEAD, Dialect, Layers
from isotune.weights.dialects.notes import (
    POOLING_WITHOUT_PADDING,
    SAME_PADDING,
    SAME_POOLING,
    TANH_GELU,
)


def _counted(block: Block) -> Iterator[tuple[str, str]]:
    """Yields (their path in the block, canonical path): they count activations as well."""
    own, place = list(block.layers), 0
    while own:
        if own[0].endswith(".fc1"):
            yield f"{place}.conv_reduce", own.pop(0)
            yield f"{place}.conv_expand", own.pop(0)
            place += 1
        else:
            yield f"{place}", own.pop(0)
            yield f"{place + 1}", own.pop(0)
            # No activation follows a block's last convolution, whose number does not matter.
            place += 3


def _flat(net: Network, blocks: Sequence[Block], start: int) -> Layers:
    """Returns the layers of the stem, of blocks that are counted from `start` on, and the last."""
    layers = {f"features.{k}": own for k, own in enumerate(net.stem)}
    for number, block in enumerate(blocks, start):
        layers |= {f"features.{number}.layers.{name}": own for name, own in _counted(block)}
    last = start + len(blocks)
    return layers | {f"features.{last + k}": own for k, own in enumerate(net.last)}


@cache
def _mobilenet(backbone: str) -> Layers:
    net = network(backbone)
    return _flat(net, net.blocks, start=3)


@cache
def _mnasnet(backbone: str) -> Layers:
    net = network(backbone)
    first, *rest = net.blocks
    # The layers of the first block are counted like blocks.
    layers = {f"features.{3 + int(name)}": own for name, own in _counted(first)}
    return {**layers, **_flat(net, rest, start=8), "classifier": "classifier.1"}


@cache
def _efficientnet(backbone: str) -> Layers:
    net = network(backbone)
    layers = {f"features.{k}": own for k, own in enumerate(net.stem)}
    for block in net.blocks:
        path = f"features.{block.stage + 3}.{block.position}.block"
        layers |= {f"{path}.{name}": own for name, own in _counted(block)}
    last = net.blocks[-1].stage + 4
    layers |= {f"features.{last + k}": own for k, own in enumerate(net.last)}
    return layers | {"mlp_head": "classifier.1"}


@cache
def _regnet(backbone: str) -> Layers:
    layers = {"stem.conv": "stem.0", "stem.bn": "stem.1", "head.fc": "fc"}
    parts = {"proj.0": "proj", "proj.1": "bn", "f.se.fc1": "f.se.conv_reduce"}
    parts |= {"f.se.fc2": "f.se.conv_expand"}
    parts |= {f"f.{c}.{k}": f"f.{c}{('', '_bn')[k]}" for c in "abc" for k in range(2)}
    for own in dict.fromkeys(name.rpartition(".")[0] for name in layout(backbone) or {}):
        if found := re.fullmatch(r"trunk_output\.block(\d)\.block\d-(\d+)\.(.*)", own):
            stage, block = int(found[1]) - 1, found[2]
            layers[f"layers.{stage}.blocks.{block}.{parts[found[3]]}"] = own
    return layers


NESTED = (
    (r"^0\.blocks\.(\d+)\.(?=blocks\.|downsample\.)", r"layers.\1."),
    (r"^0\.(?=blocks\.|downsample\.)", "layers.0."),
)
"""MindSpore names the cells of a list in a list after the first of these."""

RESNETS = r"resnet\d+|resnext\w+"

QKV = tuple(
    (rf"\.attn\.{part}\.(weight|bias)$", rf".attn.qkv.\1[{n}]") for n, part in enumerate("qkv")
)

SWIN = Dialect(
    name="MindCV's Swin Transformer",
    mark=r"^(0|layers)\..*\.attn\.q\.weight$",
    rules=(
        *NESTED,
        (r"^patch_embed\.proj\.", "features.0.0."),
        (r"^patch_embed\.norm\.", "features.0.2."),
        *((rf"^layers\.{i}\.blocks\.", f"features.{2 * i + 1}.") for i in range(4)),
        *((rf"^layers\.{i}\.downsample\.", f"features.{2 * i + 2}.") for i in range(3)),
        *QKV,
        (r"\.relative_bias\.relative_position_bias_table$", ".relative_position_bias_table"),
        (r"\.relative_position_bias\.cpb_mlp(0|2)\.", r".cpb_mlp.\1."),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
        (r"^classifier\.", f"{HEAD}."),
    ),
    backbones=r"swin_\w+",
    note=TANH_GELU,
    unused=r"\.attn_mask$|\.relative_bias\.index$|\.relative_(coords_table|position_index)$",
)

CONVNEXT = Dialect(
    name="MindCV's ConvNeXt",
    mark=r"^feature\.\d\.\d\.dwconv\.",
    rules=(
        (r"^feature\.", "features."),
        (r"\.gamma_$", ".layer_scale"),
        (r"\.dwconv\.", ".block.0."),
        (r"\.norm\.", ".block.2."),
        (r"\.pwconv1\.", ".block.3."),
        (r"\.pwconv2\.", ".block.5."),
        (r"^norm\.", "classifier.0."),
        (r"^classifier\.(?=weight$|bias$)", f"{HEAD}."),
    ),
    backbones=r"convnext_\w+",
    note=TANH_GELU,
)


def _inception(blocks: str, branches: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yields rules for blocks of one kind: canonical names of branches, or of their layers."""
    for theirs, own in branches.items():
        pattern = rf"^inception({blocks})\.{theirs}\."
        if own.endswith("_"):
            yield from ((rf"{pattern}{k}\.", rf"Mixed_\1.{own}{k + 1}.") for k in range(5))
        else:
            yield pattern, rf"Mixed_\1.{own}."


POOL = {r"branch_pool\.1": "branch_pool"}
TRIPLE = "branch3x3dbl_"
INCEPTION = Dialect(
    name="MindCV's Inception v3",
    mark=r"^inception5b\.branch0\.",
    rules=(
        (r"^conv(1a|2a|2b|4a)\.", r"Conv2d_\1_3x3."),
        (r"^conv3b\.", "Conv2d_3b_1x1."),
        *_inception(
            "5[bcd]",
            {"branch0": "branch1x1", "branch1": "branch5x5_", "branch2": TRIPLE, **POOL},
        ),
        *_inception("6a", {"branch0": "branch3x3", "branch1": TRIPLE}),
        *_inception(
            "6[bcde]",
            {"branch0": "branch1x1", "branch1": "branch7x7_", "branch2": "branch7x7dbl_", **POOL},
        ),
        *_inception("7a", {"branch0": "branch3x3_", "branch1": "branch7x7x3_"}),
        *_inception(
            "7[bc]",
            {
                "branch0": "branch1x1",
                "branch1": "branch3x3_1",
                **{f"branch1{k}": f"branch3x3_2{k}" for k in "ab"},
                "branch2": TRIPLE,
                **{f"branch2{k}": f"branch3x3dbl_3{k}" for k in "ab"},
                **POOL,
            },
        ),
        (r"^aux\.", "AuxLogits."),
        (r"^classifier\.", f"{HEAD}."),
    ),
    backbones="inception_v3",
    note=POOLING_WITHOUT_PADDING,
)

VIT = Dialect(
    name="MindCV's Vision Transformer",
    mark=r"^blocks\.0\.norm1\.gamma$",
    backbones=r"vit_\w+",
    note=TANH_GELU,
)

DIALECTS = (
    SWIN,
    CONVNEXT,
    INCEPTION,
    Dialect(
        name="MindCV's ResNet",
        mark=r"\.down_sample\.\d\.",
        rules=((r"\.down_sample\.", ".downsample."), (r"^classifier\.", f"{HEAD}.")),
        backbones=RESNETS,
        note=SAME_POOLING,
    ),
    Dialect(
        name="MindCV's MobileNetV2",
        mark=r"^features\.\d+\.layers\.",
        layers=_mobilenet,
        backbones="mobilenet_v2",
    ),
    Dialect(
        name="MindCV's MobileNetV3",
        mark=r"^features\.\d+\.layers\.",
        layers=_mobilenet,
        backbones=r"mobilenet_v3_\w+",
        epsilon=1e-5,
        note=SAME_PADDING,
    ),
    Dialect(
        name="MindCV's MNASNet",
        mark=r"^features\.\d+\.layers\.",
        layers=_mnasnet,
        backbones=r"mnasnet\w+",
        epsilon=1e-3,
    ),
    Dialect(
        name="MindCV's EfficientNet",
        mark=r"^features\.\d+\.\d+\.block\.0\.weight$",
        layers=_efficientnet,
        backbones=r"efficientnet_(b\d|v2_\w)",
        epsilon=1e-5,
        note=SAME_PADDING,
    ),
    Dialect(
        name="MindCV's DenseNet",
        mark=r"\.cell_list\.\d+\.",
        rules=(
            *((rf"\.cell_list\.{k}\.", f".denselayer{k + 1}.") for k in range(48)),
            (r"(\.transition\d)\.features\.", r"\1."),
        ),
        backbones=r"densenet\d+",
    ),
    Dialect(
        name="MindCV's RegNet",
        mark=r"^(layers\.)?0\.blocks\.0\.f\.a\.",
        rules=NESTED,
        layers=_regnet,
        backbones=r"regnet_\w+",
    ),
)
"""MindCV's VGGs have torchvision's names. Its Vision Transformers have timm's, but with MindSpore's
for their norms, so that they come first."""
