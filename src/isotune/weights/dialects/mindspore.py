"""The names of MindSpore, MindVision 0.1, and of MindSpore's model zoo and tutorials.

Sources: ``mindvision.classification``; mindspore-ai/models, ``official/cv`` (ResNet, MobileNetV2,
VGG16); the ResNet-50 tutorial of MindSpore's documentation.
"""

from __future__ import annotations

from isotune.weights.dialects.dialect import HEAD, Dialect
from isotune.weights.dialects.notes import SAME_PADDING, SAME_POOLING

RESNETS, VGGS = r"resnet\d+", r"vgg\d+(_bn)?"

ZOO_RESNET = r"^end_point\.|\.down_sample_layer\.|\.bn[12]d\."
ZOO_RESNET_RULES = (
    (r"^end_point\.", f"{HEAD}."),
    (r"\.down_sample_layer\.", ".downsample."),
    (r"\.bn([12])d\.", r".bn\1."),
)

DIALECTS = (
    Dialect(
        name="MindSpore",
        mark=r"\.(gamma|moving_mean)$",
        rules=(
            (r"\.gamma$", ".weight"),
            (r"\.beta$", ".bias"),
            (r"\.moving_mean$", ".running_mean"),
            (r"\.moving_variance$", ".running_var"),
        ),
    ),
    Dialect(
        name="MindVision",
        mark=r"^backbone\.",
        rules=(
            (r"^backbone\.", ""),
            (r"^(head|neck)\.(dense|classifier)\.(weight|bias)$", rf"{HEAD}.\3"),
            (r"^(head|neck)\.classifier\.0\.dense\.", "classifier.0."),
            (r"^(head|neck)\.classifier\.1\.dense\.", "classifier.3."),
            (r"^(head|neck)\.classifier\.2\.dense\.", "classifier.6."),
        ),
    ),
    Dialect(
        name="MindVision's ResNet",
        mark=r"^conv1\.features\.0\.",
        rules=(
            (r"\bconv(\d)\.features\.0\.", r"conv\1."),
            (r"\bconv(\d)\.features\.1\.", r"bn\1."),
            (r"\.down_sample\.features\.", ".downsample."),
        ),
        backbones=RESNETS,
        note=SAME_POOLING,
    ),
    Dialect(
        name="MindSpore model zoo's ResNet",
        mark=ZOO_RESNET,
        rules=ZOO_RESNET_RULES,
        backbones=r"resnet(18|34)",
    ),
    Dialect(
        name="MindSpore model zoo's ResNet",
        mark=ZOO_RESNET,
        rules=ZOO_RESNET_RULES,
        backbones=r"resnet(50|101|152)",
        note=SAME_PADDING,
    ),
    Dialect(
        name="MindSpore tutorial's ResNet",
        mark=r"\.norm1\.",
        rules=(
            (r"^norm\.", "bn1."),
            (r"\.norm(\d)\.", r".bn\1."),
            (r"\.down_sample\.", ".downsample."),
        ),
        backbones=RESNETS,
        note=SAME_PADDING,
    ),
    Dialect(
        name="MindSpore's MobileNetV2",
        mark=r"^features\.0\.features\.0\.",
        rules=((r"(?<=\d)\.features\.", "."), (r"^(head\.)?dense\.", f"{HEAD}.")),
        backbones="mobilenet_v2",
    ),
    Dialect(
        name="MindSpore model zoo's VGG",
        mark=r"^layers\.0\.",
        rules=((r"^layers\.", "features."),),
        backbones=VGGS,
    ),
)
