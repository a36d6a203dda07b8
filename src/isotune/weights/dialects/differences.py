"""Recognizes models that share names with a backbone but are of another architecture."""

from __future__ import annotations

import re
from collections.abc import Iterable

DIFFERENCES = (
    (r"resnet\w+|resnext\w+|wide_\w+", r"^conv1\.\d\.", "has a stem of several convolutions"),
    (r"resnet\w+|resnext\w+|wide_\w+", r"^layer\d\.\d+\.se\.", "has squeeze-and-excitation"),
    (r"vit_\w+", r"(^|\.)dist(illation)?_token$", "has a token for distillation"),
    (r"vit_\w+", r"(^|\.)reg(ister)?_tokens?$", "has register tokens"),
    (r"vit_\w+", r"\.(ls1\.gamma|lambda1|gamma_1|layer_scale1\.lambda1)$", "has LayerScale"),
    (r"vit_\w+", r"(^|\.)(norm_pre|pre_layr?norm|ln_pre)\.", "normalizes before its first block"),
    (r"vit_\w+", r"(^|\.)fc_norm\.", "averages all tokens, not the class token alone"),
    (r"convnext_\w+", r"\.grn\.", "is a ConvNeXt V2, with response normalization"),
    (r"googlenet", r"^inception3a\.b1\.conv\.bias$", "has biases where this one has BatchNorms"),
    (
        r"shufflenet_\w+",
        r"^features\.0\.branch_main\.",
        "shuffles channels before its blocks, this one after them",
    ),
    (r"maxvit_t", r"^stages\.0\.blocks\.0\.attn_block\.", "pads like TensorFlow's SAME"),
    (r"mobilenet_\w+", r"^(mobilenet_v1\.)?layer\.\d+\.convolution\.", "is a MobileNetV1"),
)
"""(backbones, mark, what differs): one name of a file that the mark matches is enough."""


def describe_difference(names: Iterable[str], backbone: str) -> str:
    """Returns a sentence on how the model of a file that does not fit differs, if it is known.

    Args:
        names: the names of the file's tensors.
        backbone: name of the backbone.
    """
    names = list(names)
    for backbones, mark, text in DIFFERENCES:
        if re.fullmatch(backbones, backbone) and any(re.search(mark, name) for name in names):
            return f" Its model {text}; if timm has it, backbone 'timm:NAME' builds it."
    if backbone == "inception_v3" and not any("AuxLogits." in name for name in names):
        return " Its model has no auxiliary classifier; backbone 'timm:inception_v3' builds it."
    return ""
