"""The names of Hugging Face's transformers: of version 5, and of 4 and the files on the Hub."""

from __future__ import annotations

import re
from functools import cache

from isotune.catalogue.layouts import layout
from isotune.weights.dialects.blocks import Block, network
from isotune.weights.dialects.dialect import HEAD, Dialect, Layers
from isotune.weights.dialects.notes import SAME_PADDING

CLASSIFIER = (r"^classifier\.(1\.)?(?=weight$|bias$)", f"{HEAD}.")


def _stages(backbone: str, pattern: str) -> list[tuple[str, str, str]]:
    """Returns (their path of the block, rest of the layer's path, canonical path)."""
    found = []
    for own in dict.fromkeys(name.rpartition(".")[0] for name in layout(backbone) or {}):
        if match := re.fullmatch(pattern, own):
            path = f"encoder.stages.{int(match[1]) - 1}.layers.{match[2]}"
            found.append((path, match[3], own))
    return found


@cache
def _resnet(backbone: str) -> Layers:
    layers = {
        "embedder.embedder.convolution": "conv1",
        "embedder.embedder.normalization": "bn1",
    }
    kinds = {"conv": "convolution", "bn": "normalization"}
    for path, rest, own in _stages(backbone, r"layer(\d)\.(\d+)\.(.*)"):
        if rest.startswith("downsample"):
            layers[f"{path}.shortcut.{['convolution', 'normalization'][int(rest[-1])]}"] = own
        else:
            layers[f"{path}.layer.{int(rest[-1]) - 1}.{kinds[rest[:-1]]}"] = own
    return layers


@cache
def _regnet(backbone: str) -> Layers:
    layers = {
        "embedder.embedder.convolution": "stem.0",
        "embedder.embedder.normalization": "stem.1",
    }
    kinds = ("convolution", "normalization")
    with_excitation = backbone.startswith("regnet_y")
    parts = {
        **{f"proj.{k}": f"shortcut.{kind}" for k, kind in enumerate(kinds)},
        **{f"f.a.{k}": f"layer.0.{kind}" for k, kind in enumerate(kinds)},
        **{f"f.b.{k}": f"layer.1.{kind}" for k, kind in enumerate(kinds)},
        **{f"f.c.{k}": f"layer.{2 + with_excitation}.{kind}" for k, kind in enumerate(kinds)},
        "f.se.fc1": "layer.2.attention.0",
        "f.se.fc2": "layer.2.attention.2",
    }
    for path, rest, own in _stages(backbone, r"trunk_output\.block(\d)\.block\d-(\d+)\.(.*)"):
        layers[f"{path}.{parts[rest]}"] = own
    return layers


def _both(path: str) -> tuple[str, str]:
    return f"{path}.convolution", f"{path}.normalization"


@cache
def _mobilenet_v2(backbone: str) -> Layers:
    net = network(backbone)
    layers = dict(zip(_both("conv_stem.first_conv"), net.stem, strict=True))
    for block in net.blocks:
        path = f"layer.{block.number - 1}" if block.number else "conv_stem"
        parts = ("expand_1x1", "conv_3x3", "reduce_1x1")[0 if block.number else 1 :]
        theirs = [name for part in parts for name in _both(f"{path}.{part}")]
        layers |= dict(zip(theirs, block.layers, strict=True))
    return layers | dict(zip(_both("conv_1x1"), net.last, strict=True))


def _efficientnet_block(block: Block) -> Layers:
    expand = ("expansion.expand_conv", "expansion.expand_bn") if not block.depthwise else ()
    parts = (
        *expand,
        *("depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"),
        *("squeeze_excite.reduce", "squeeze_excite.expand"),
        *("projection.project_conv", "projection.project_bn"),
    )
    path = f"encoder.blocks.{block.number}"
    return {f"{path}.{name}": own for name, own in zip(parts, block.layers, strict=True)}


@cache
def _efficientnet(backbone: str) -> Layers:
    net = network(backbone)
    layers = dict(zip(("embeddings.convolution", "embeddings.batchnorm"), net.stem, strict=True))
    for block in net.blocks:
        layers |= _efficientnet_block(block)
    return layers | dict(zip(("encoder.top_conv", "encoder.top_bn"), net.last, strict=True))


def _attention(path: str, joined: str) -> tuple[tuple[str, str], ...]:
    """Returns rules for the projections of an attention, and for the one after them."""
    parts = ("query|q_proj", "key|k_proj", "value|v_proj")
    return (
        *(
            (rf"\.attention\.((attention|self)\.)?({part})\.(weight|bias)$", rf".{joined}\4[{n}]")
            for n, part in enumerate(parts)
        ),
        (r"\.attention\.(output\.dense|o_proj)\.", f".{path}."),
    )


VIT = Dialect(
    name="Hugging Face's Vision Transformer",
    mark=r"^(vit\.|deit\.)?embeddings\.patch_embeddings\.projection\.",
    rules=(
        (r"^(vit|deit)\.", ""),
        (r"^embeddings\.cls_token$", "class_token"),
        (r"^embeddings\.position_embeddings$", "encoder.pos_embedding"),
        (r"^embeddings\.patch_embeddings\.projection\.", "conv_proj."),
        (r"^(encoder\.layer|layers)\.(\d+)\.", r"encoder.layers.encoder_layer_\2."),
        *_attention("self_attention.out_proj", "self_attention.in_proj_"),
        (r"\.layernorm_before\.", ".ln_1."),
        (r"\.layernorm_after\.", ".ln_2."),
        (r"\.(intermediate\.dense|mlp\.fc1)\.", ".mlp.0."),
        (r"\.(output\.dense|mlp\.fc2)\.", ".mlp.3."),
        (r"^layernorm\.", "encoder.ln."),
        CLASSIFIER,
    ),
    backbones=r"vit_\w+",
    unused=r"^((vit|deit)\.)?(pooler\.|embeddings\.mask_token$)",
)

SWIN = Dialect(
    name="Hugging Face's Swin Transformer",
    mark=r"^(swin(v2)?\.)?encoder\.layers\.0\.blocks\.0\.",
    rules=(
        (r"^swin(v2)?\.", ""),
        (r"^embeddings\.patch_embeddings\.projection\.", "features.0.0."),
        (r"^embeddings\.norm\.", "features.0.2."),
        *((rf"^encoder\.layers\.{i}\.blocks\.", f"features.{2 * i + 1}.") for i in range(4)),
        *((rf"^encoder\.layers\.{i}\.downsample\.", f"features.{2 * i + 2}.") for i in range(3)),
        *_attention("attn.proj", "attn.qkv."),
        (r"\.attention\.((self|relative_position_bias)\.)?(?=relative_|logit_scale)", ".attn."),
        (r"\.attention\.(self\.)?continuous_position_bias_mlp\.", ".attn.cpb_mlp."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.(intermediate\.dense|mlp\.fc1)\.", ".mlp.0."),
        (r"\.(output\.dense|mlp\.fc2)\.", ".mlp.3."),
        (r"^layernorm\.", "norm."),
        CLASSIFIER,
    ),
    backbones=r"swin_\w+",
    unused=r"mask_token$",
)

CONVNEXT = Dialect(
    name="Hugging Face's ConvNeXt",
    mark=r"^(convnext\.)?encoder\.stages\.0\.layers\.0\.dwconv\.",
    rules=(
        (r"^convnext\.", ""),
        (r"^embeddings\.patch_embeddings\.", "features.0.0."),
        (r"^embeddings\.layernorm\.", "features.0.1."),
        *((rf"^encoder\.stages\.{i}\.layers\.", f"features.{2 * i + 1}.") for i in range(4)),
        *(
            (rf"^encoder\.stages\.{i}\.downsampling_layer\.", f"features.{2 * i}.")
            for i in range(4)
        ),
        (r"\.layer_scale_parameter$", ".layer_scale"),
        (r"\.dwconv\.", ".block.0."),
        (r"\.layernorm\.", ".block.2."),
        (r"\.pwconv1\.", ".block.3."),
        (r"\.pwconv2\.", ".block.5."),
        (r"^layernorm\.", "classifier.0."),
        CLASSIFIER,
    ),
    backbones=r"convnext_\w+",
)

DIALECTS = (
    VIT,
    SWIN,
    CONVNEXT,
    Dialect(
        name="Hugging Face's ResNet",
        mark=r"^(resnet\.)?embedder\.embedder\.convolution\.",
        rules=((r"^resnet\.", ""), CLASSIFIER),
        layers=_resnet,
        backbones=r"resnet\d+",
    ),
    Dialect(
        name="Hugging Face's RegNet",
        mark=r"^(regnet\.)?embedder\.embedder\.convolution\.",
        rules=((r"^regnet\.", ""), CLASSIFIER),
        layers=_regnet,
        backbones=r"regnet_\w+",
    ),
    Dialect(
        name="Hugging Face's MobileNetV2",
        mark=r"^(mobilenet_v2\.)?conv_stem\.first_conv\.",
        rules=((r"^mobilenet_v2\.", ""), CLASSIFIER),
        layers=_mobilenet_v2,
        backbones="mobilenet_v2",
        epsilon=1e-3,
        note=SAME_PADDING,
    ),
    Dialect(
        name="Hugging Face's EfficientNet",
        mark=r"^(efficientnet\.)?embeddings\.convolution\.",
        rules=((r"^efficientnet\.", ""), CLASSIFIER),
        layers=_efficientnet,
        backbones=r"efficientnet_b\d",
        epsilon=1e-3,
        note=SAME_PADDING,
    ),
)
