"""The dialects as a table of rules, which :mod:`isotune.weights.dialects.canonical` applies.

Sources of the names: timm 1.0; MindCV 0.3; MindVision 0.1 (``mindvision.classification``);
mindspore-ai/models, ``official/cv`` (ResNet, MobileNetV2, VGG16); the ResNet-50 tutorial of
MindSpore's documentation; the package efficientnet_pytorch 0.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from isotune.catalogue.layouts import EFFICIENTNET_LITE0_STAGES, MOBILENET_V2_STAGES

HEAD = "{head}"
"""Placeholder in a rule for the path of the backbone's last linear layer."""

SAME_PADDING = (
    "its original model pads like TensorFlow's SAME, more on the right and below, whereas this one"
    " pads evenly: its logits differ here until it is fine-tuned"
)


SAME_POOLING = (
    "its original model pads its max pooling on the right and below only, whereas this one pads"
    " evenly: its logits differ here until it is fine-tuned"
)


@dataclass(frozen=True)
class Dialect:
    """A naming scheme of parameters. A name is a layer's path, a dot, and a parameter.

    Attributes:
        name: its name for the user.
        mark: pattern that matches some name in a file if and only if the file uses the dialect.
        rules: patterns and their replacements, applied in order.
        layers: canonical paths by path in the dialect, after the rules; others do not change.
        backbones: pattern of the names of the backbones that it applies to.
        note: differences of the model that uses the dialect, or an empty string.
    """

    name: str
    mark: str
    rules: tuple[tuple[str, str], ...] = ()
    layers: Mapping[str, str] = field(default_factory=dict)
    backbones: str = ".*"
    note: str = ""


def _residuals(stages: tuple[tuple[int, ...], ...]) -> Iterator[tuple[int, int, int, bool]]:
    """Yields (number, stage, position in the stage, whether it expands) of inverted residuals."""
    number = 0
    for stage, (expansion, _, repeats, _) in enumerate(stages):
        for position in range(repeats):
            yield number, stage, position, expansion > 1
            number += 1


def _mobilenet_v2(number: int, expands: bool) -> list[tuple[str, str]]:
    """Returns torchvision's paths of the convolutions of a block and of their BatchNorms."""
    path = f"features.{number + 1}.conv"
    first = [(f"{path}.{k}.0", f"{path}.{k}.1") for k in range(2 if expands else 1)]
    return [*first, (f"{path}.{len(first)}", f"{path}.{len(first) + 1}")]


def _efficientnet(stage: int, position: int, expands: bool) -> list[tuple[str, str]]:
    path = f"features.{stage + 1}.{position}.block"
    return [(f"{path}.{k}.0", f"{path}.{k}.1") for k in range(3 if expands else 2)]


def _pairs(theirs: list[tuple[str, str]], canonical: list[tuple[str, str]]) -> dict[str, str]:
    return {
        name: path
        for names, paths in zip(theirs, canonical, strict=True)
        for name, path in zip(names, paths, strict=True)
    }


def _timm_block(stage: int, position: int, expands: bool) -> list[tuple[str, str]]:
    path = f"blocks.{stage}.{position}"
    convs = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
    return [(f"{path}.{conv}", f"{path}.bn{k}") for k, conv in enumerate(convs, 1)]


def _timm_ends(last: int) -> dict[str, str]:
    ends = [("conv_stem", "bn1"), ("conv_head", "bn2")]
    return _pairs(ends, [(f"features.{n}.0", f"features.{n}.1") for n in (0, last)])


def _timm_mobilenet_v2() -> dict[str, str]:
    layers = _timm_ends(18)
    for number, stage, position, expands in _residuals(MOBILENET_V2_STAGES):
        layers |= _pairs(_timm_block(stage, position, expands), _mobilenet_v2(number, expands))
    return layers | {"classifier": "classifier.1"}


def _timm_efficientnet() -> dict[str, str]:
    layers = _timm_ends(8)
    for _, stage, position, expands in _residuals(EFFICIENTNET_LITE0_STAGES):
        layers |= _pairs(
            _timm_block(stage, position, expands), _efficientnet(stage, position, expands)
        )
    return layers | {"classifier": "classifier.1"}


def _efficientnet_pytorch() -> dict[str, str]:
    layers = _pairs(
        [("_conv_stem", "_bn0"), ("_conv_head", "_bn1")],
        [("features.0.0", "features.0.1"), ("features.8.0", "features.8.1")],
    )
    for number, stage, position, expands in _residuals(EFFICIENTNET_LITE0_STAGES):
        parts = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        path = f"_blocks.{number}"
        theirs = [(f"{path}.{c}", f"{path}.{n}") for c, n in (parts if expands else parts[1:])]
        layers |= _pairs(theirs, _efficientnet(stage, position, expands))
    return layers | {"_fc": "classifier.1"}


def _mindcv_mobilenet_v2() -> dict[str, str]:
    # Its numbers of layers include activations, which have no parameters.
    layers = _pairs(
        [("features.0", "features.1"), ("features.20", "features.21")],
        [("features.0.0", "features.0.1"), ("features.18.0", "features.18.1")],
    )
    for number, _, _, expands in _residuals(MOBILENET_V2_STAGES):
        path = f"features.{number + 3}.layers"
        theirs = [(f"{path}.{k}", f"{path}.{k + 1}") for k in range(0, 9 if expands else 6, 3)]
        layers |= _pairs(theirs, _mobilenet_v2(number, expands))
    return layers


RESNETS, VGGS = r"resnet\d+", r"vgg\d+(_bn)?"

ZOO_RESNET = r"^end_point\.|\.down_sample_layer\.|\.bn[12]d\."
ZOO_RESNET_RULES = (
    (r"^end_point\.", f"{HEAD}."),
    (r"\.down_sample_layer\.", ".downsample."),
    (r"\.bn([12])d\.", r".bn\1."),
)

DIALECTS: tuple[Dialect, ...] = (
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
        name="MindCV's ResNet",
        mark=r"\.down_sample\.\d\.",
        rules=((r"\.down_sample\.", ".downsample."), (r"^classifier\.", f"{HEAD}.")),
        backbones=RESNETS,
        note=SAME_POOLING,
    ),
    Dialect(
        name="MindSpore's MobileNetV2",
        mark=r"^features\.0\.features\.0\.",
        rules=((r"(?<=\d)\.features\.", "."), (r"^(head\.)?dense\.", f"{HEAD}.")),
        backbones="mobilenet_v2",
    ),
    Dialect(
        name="MindCV's MobileNetV2",
        mark=r"^features\.\d+\.layers\.",
        layers=_mindcv_mobilenet_v2(),
        backbones="mobilenet_v2",
    ),
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
    Dialect(
        name="MindSpore model zoo's VGG",
        mark=r"^layers\.0\.",
        rules=((r"^layers\.", "features."),),
        backbones=VGGS,
    ),
    Dialect(
        name="timm's VGG",
        mark=r"^(pre_logits\.fc1|head\.fc)\.",
        layers={
            "pre_logits.fc1": "classifier.0",
            "pre_logits.fc2": "classifier.3",
            "head.fc": "classifier.6",
        },
        backbones=VGGS,
    ),
    Dialect(
        name="timm's MobileNetV2",
        mark=r"^conv_stem\.",
        layers=_timm_mobilenet_v2(),
        backbones="mobilenet_v2",
    ),
    Dialect(
        name="timm's EfficientNet",
        mark=r"^conv_stem\.",
        layers=_timm_efficientnet(),
        backbones="efficientnet_lite0",
    ),
    Dialect(
        name="EfficientNet-PyTorch",
        mark=r"^_conv_stem\.",
        layers=_efficientnet_pytorch(),
        backbones="efficientnet_lite0",
    ),
)
"""The dialects in the order in which they are applied."""
