"""The dialects as a table of rules, which :mod:`isotune.weights.dialects.canonical` applies."""

from __future__ import annotations

from functools import cache

from isotune.weights.dialects import huggingface, mindcv, mindspore, timm
from isotune.weights.dialects.blocks import Block, network
from isotune.weights.dialects.dialect import Dialect, Layers
from isotune.weights.dialects.notes import SAME_PADDING


def _efficientnet_pytorch_block(block: Block) -> Layers:
    expand = ("_expand_conv", "_bn0") if not block.depthwise else ()
    excite = ("_se_reduce", "_se_expand") if block.layers[-3].endswith("fc2") else ()
    parts = (*expand, "_depthwise_conv", "_bn1", *excite, "_project_conv", "_bn2")
    names = [f"_blocks.{block.number}.{part}" for part in parts]
    return dict(zip(names, block.layers, strict=True))


@cache
def _efficientnet_pytorch(backbone: str) -> Layers:
    net = network(backbone)
    layers = dict(zip(("_conv_stem", "_bn0"), net.stem, strict=True))
    for block in net.blocks:
        layers |= _efficientnet_pytorch_block(block)
    return layers | dict(
        zip(("_conv_head", "_bn1", "_fc"), (*net.last, *net.classifier), strict=True)
    )


OLD_TORCHVISION = (
    Dialect(
        name="torchvision's DenseNet before 0.3",
        mark=r"\.denselayer\d+\.(norm|conv)\.[12]\.",
        rules=((r"(\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),),
        backbones=r"densenet\d+",
    ),
    Dialect(
        name="torchvision's Vision Transformer before 0.14",
        mark=r"\.mlp\.linear_[12]\.",
        rules=((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")),
        backbones=r"vit_\w+",
    ),
)

EFFICIENTNET_PYTORCH = (
    Dialect(
        name="EfficientNet-PyTorch",
        mark=r"^_conv_stem\.",
        layers=_efficientnet_pytorch,
        backbones="efficientnet_lite0",
    ),
    Dialect(
        name="EfficientNet-PyTorch",
        mark=r"^_conv_stem\.",
        layers=_efficientnet_pytorch,
        backbones=r"efficientnet_b\d",
        epsilon=1e-3,
        note=SAME_PADDING,
    ),
)

DIALECTS: tuple[Dialect, ...] = (
    timm.CONVNEXT,
    mindcv.VIT,
    *mindspore.DIALECTS,
    *mindcv.DIALECTS,
    *huggingface.DIALECTS,
    *timm.DIALECTS,
    *OLD_TORCHVISION,
    *EFFICIENTNET_PYTORCH,
)
"""The dialects in the order in which they are applied."""
