"""The names of timm 1.0, and of the repositories whose names it kept (DeiT, DINO, MAE, Swin)."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from isotune.catalogue.layouts import layout
from isotune.weights.dialects.blocks import Block, network
from isotune.weights.dialects.dialect import HEAD, Dialect, Layers
from isotune.weights.dialects.notes import SAME_PADDING

PARTS = {
    (2, False): ("conv", "bn1"),
    (4, False): ("conv_exp", "bn1", "conv_pwl", "bn2"),
    (4, True): ("conv_dw", "bn1", "conv_pw", "bn2"),
    (6, False): ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"),
    (6, True): ("conv_dw", "bn1", "se.conv_reduce", "se.conv_expand", "conv_pw", "bn2"),
    (8, False): (
        *("conv_pw", "bn1", "conv_dw", "bn2"),
        *("se.conv_reduce", "se.conv_expand", "conv_pwl", "bn3"),
    ),
}
"""Layers of a block by their number and whether the first is depthwise."""


def _block(block: Block) -> Layers:
    path = f"blocks.{block.stage}.{block.position}"
    parts = PARTS[len(block.layers), block.depthwise]
    return {f"{path}.{name}": own for name, own in zip(parts, block.layers, strict=True)}


@cache
def _residuals(backbone: str) -> Layers:
    net = network(backbone)
    layers = dict(zip(("conv_stem", "bn1"), net.stem, strict=True))
    for block in net.blocks:
        layers |= _block(block)
    if len(net.classifier) == 2:  # MobileNetV3 has a linear layer where others have the last one
        last = (
            f"blocks.{net.blocks[-1].stage + 1}.0.conv",
            f"blocks.{net.blocks[-1].stage + 1}.0.bn1",
        )
        layers |= dict(zip(last, net.last, strict=True))
        return layers | dict(zip(("conv_head", "classifier"), net.classifier, strict=True))
    layers |= dict(zip(("conv_head", "bn2"), net.last, strict=True))
    return layers | {"classifier": net.classifier[0]}


@cache
def _regnet(backbone: str) -> Layers:
    parts = {"f.a": "conv1", "f.b": "conv2", "f.c": "conv3", "proj": "downsample"}
    layers = {"stem.conv": "stem.0", "stem.bn": "stem.1", "head.fc": "fc"}
    for name in layout(backbone) or {}:
        own = name.rpartition(".")[0]
        if found := re.fullmatch(r"trunk_output\.block(\d)\.block\d-(\d+)\.(.*)", own):
            path, part = f"s{found[1]}.b{int(found[2]) + 1}", found[3]
            if part.startswith("f.se."):
                layers[f"{path}.{part[2:]}"] = own
            else:
                layer, kind = part.rsplit(".", 1)
                layers[f"{path}.{parts[layer]}.{'bn' if kind == '1' else 'conv'}"] = own
    return layers


def _vgg(backbone: str) -> Layers:
    return {
        "pre_logits.fc1": "classifier.0",
        "pre_logits.fc2": "classifier.3",
        "head.fc": "classifier.6",
    }


CONVNEXT_STAGES = tuple(
    (rf"^stages\.{i}\.(blocks\.)?(?=\d)", f"features.{2 * i + 1}.") for i in range(4)
)
CONVNEXT = Dialect(
    name="timm's ConvNeXt",
    mark=r"^stages\.0\.(blocks\.)?\d+\.(conv_dw|dwconv)\.",
    rules=(
        (r"^stem\.", "features.0."),
        *((rf"^stages\.{i}\.downsample\.", f"features.{2 * i}.") for i in range(1, 4)),
        *((rf"^downsample_layers\.{i}\.", f"features.{2 * i}.") for i in range(4)),
        *CONVNEXT_STAGES,
        (r"\.gamma$", ".layer_scale"),
        (r"\.(conv_dw|dwconv)\.", ".block.0."),
        (r"(features\.\d+\.\d+)\.norm\.", r"\1.block.2."),
        (r"\.(mlp\.fc1|pwconv1)\.", ".block.3."),
        (r"\.(mlp\.fc2|pwconv2)\.", ".block.5."),
        (r"^(head\.)?norm\.", "classifier.0."),
        (r"^head\.(fc\.)?", f"{HEAD}."),
    ),
    backbones=r"convnext_\w+",
)

SWIN_BLOCK = (
    (r"^patch_embed\.proj\.", "features.0.0."),
    (r"^patch_embed\.norm\.", "features.0.2."),
    *((rf"^layers\.{i}\.blocks\.", f"features.{2 * i + 1}.") for i in range(4)),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
    (r"\.attn\.q_bias$", ".attn.qkv.bias[0]"),
    (r"\.attn\.v_bias$", ".attn.qkv.bias[2]"),
    (r"^head\.fc\.", f"{HEAD}."),
)
TIMM_SWIN = (
    *((rf"^layers\.{i}\.downsample\.", f"features.{2 * i}.") for i in range(1, 4)),
    *SWIN_BLOCK,
)
SWIN_UNUSED = r"\.attn_mask$|\.k_bias$"

SWIN = (
    # timm before 0.9 and the authors' own code have each reduction at the end of a stage.
    Dialect(
        name="Swin Transformer's own",
        mark=r"^layers\.0\.downsample\.",
        rules=(
            *((rf"^layers\.{i}\.downsample\.", f"features.{2 * i + 2}.") for i in range(3)),
            *SWIN_BLOCK,
        ),
        backbones=r"swin_\w+",
        unused=SWIN_UNUSED,
    ),
    Dialect(
        name="timm's Swin Transformer V2",
        mark=r"^layers\.0\.blocks\.0\.",
        rules=TIMM_SWIN,
        backbones=r"swin_v2_\w",
        files=r"window(12|16|24)[^/\\]*$",
        unused=SWIN_UNUSED,
        note="by its file's name its windows are wider, which its tensors do not tell: this one's"
        " are 8 places wide; backbone 'timm:NAME' builds it",
    ),
    Dialect(
        name="timm's Swin Transformer",
        mark=r"^layers\.0\.blocks\.0\.",
        rules=TIMM_SWIN,
        backbones=r"swin_\w+",
        unused=SWIN_UNUSED,
    ),
)

VIT = Dialect(
    name="timm's Vision Transformer",
    mark=r"^blocks\.0\.attn\.qkv\.",
    rules=(
        (r"^cls_token$", "class_token"),
        (r"^pos_embed$", "encoder.pos_embedding"),
        (r"^patch_embed\.proj\.", "conv_proj."),
        (r"^blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
        (r"\.norm([12])\.", r".ln_\1."),
        (r"\.attn\.qkv\.(weight|bias)$", r".self_attention.in_proj_\1"),
        (r"\.attn\.proj\.", ".self_attention.out_proj."),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
        (r"^norm\.", "encoder.ln."),
        (r"^head\.(?=weight$|bias$)", f"{HEAD}."),
    ),
    backbones=r"vit_\w+",
    unused=r"^mask_token$",
)

EFFICIENTNET = Dialect(
    name="timm's EfficientNet",
    mark=r"^conv_stem\.",
    layers=_residuals,
    backbones=r"efficientnet_(b\d|v2_\w)|mobilenet_v3_\w+",
    epsilon=1e-5,
)

DIALECTS = (
    *SWIN,
    VIT,
    replace(
        EFFICIENTNET,
        name="timm's EfficientNet of TensorFlow",
        files=r"(^|[^a-zA-Z])tf_[^/\\]*$",
        epsilon=1e-3,
        note=f"{SAME_PADDING}; backbone 'timm:NAME' builds the original",
    ),
    EFFICIENTNET,
    Dialect(
        name="timm's MobileNetV2",
        mark=r"^conv_stem\.",
        layers=_residuals,
        backbones="mobilenet_v2",
    ),
    Dialect(
        name="timm's MNASNet",
        mark=r"^conv_stem\.",
        layers=_residuals,
        backbones=r"mnasnet\w+",
    ),
    Dialect(
        name="timm's EfficientNet",
        mark=r"^conv_stem\.",
        layers=_residuals,
        backbones="efficientnet_lite0",
    ),
    Dialect(
        name="timm's RegNet",
        mark=r"^s1\.b1\.conv1\.conv\.",
        layers=_regnet,
        backbones=r"regnet_\w+",
    ),
    Dialect(
        name="timm's VGG",
        mark=r"^(pre_logits\.fc1|head\.fc)\.",
        layers=_vgg,
        backbones=r"vgg\d+(_bn)?",
    ),
)
"""timm's ConvNeXt comes before: its layer scale has the name of MindSpore's BatchNorm weights."""
