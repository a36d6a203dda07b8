"""The models that :mod:`parameter_names` compares, one of a kind, and those that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

CONSTANTS = re.compile(r"attn_mask$|\.index$|relative_(coords_table|position_index)$")


@dataclass(frozen=True)
class Case:
    """A model of another library and the backbone that takes its weights.

    Attributes:
        library: the library.
        model: the model's name in it; for Hugging Face, of its classes.
        backbone: the backbone.
        options: options of the model's configuration.
        variant: what the options mean, for the table.
    """

    library: str
    model: str
    backbone: str
    options: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""

    @property
    def title(self) -> str:
        """The model in the table."""
        return f"{self.model}{f' ({self.variant})' if self.variant else ''}"

    def is_constant(self, name: str) -> bool:
        """Whether a parameter is a constant of the architecture."""
        return CONSTANTS.search(name) is not None


TIMM = {
    "resnet18": "resnet18",
    "resnext50_32x4d": "resnext50_32x4d",
    "wide_resnet50_2": "wide_resnet50_2",
    "densenet121": "densenet121",
    "vgg11_bn": "vgg11_bn",
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mnasnet_100": "mnasnet1_0",
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_b5": "efficientnet_b5",
    "efficientnetv2_s": "efficientnet_v2_s",
    "tf_efficientnet_lite0": "efficientnet_lite0",
    "regnetx_004_tv": "regnet_x_400mf",
    "regnety_004": "regnet_y_400mf",
    "convnext_tiny": "convnext_tiny",
    "swin_tiny_patch4_window7_224": "swin_t",
    "swinv2_tiny_window8_256": "swin_v2_t",
    "vit_base_patch32_224": "vit_b_32",
    "deit_base_patch16_224": "vit_b_16",
    "tf_efficientnet_b0": "efficientnet_b0",
    "tf_efficientnetv2_s": "efficientnet_v2_s",
    "tf_mobilenetv3_small_100": "mobilenet_v3_small",
}

MINDCV = {
    "resnet18": "resnet18",
    "resnext50_32x4d": "resnext50_32x4d",
    "densenet121": "densenet121",
    "vgg11": "vgg11",
    "mobilenet_v2_100": "mobilenet_v2",
    "mobilenet_v3_small_100": "mobilenet_v3_small",
    "mobilenet_v3_large_100": "mobilenet_v3_large",
    "mnasnet_100": "mnasnet1_0",
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_v2_s": "efficientnet_v2_s",
    "regnet_x_800mf": "regnet_x_800mf",
    "regnet_y_400mf": "regnet_y_400mf",
    "convnext_tiny": "convnext_tiny",
    "inception_v3": "inception_v3",
    "swin_tiny": "swin_t",
    "swinv2_tiny_window8": "swin_v2_t",
    "vit_b_32_224": "vit_b_32",
}

SWIN_V2 = {"image_size": 256, "window_size": 8}
RESNET18 = {"depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "layer_type": "basic"}
REGNET = {
    "embedding_size": 32,
    "hidden_sizes": [48, 104, 208, 440],
    "depths": [1, 3, 6, 6],
    "groups_width": 8,
}
B0 = {"width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280, "image_size": 224}

HUGGING_FACE = (
    ("ResNet", "resnet18", RESNET18, "depths 2, 2, 2, 2"),
    ("ResNet", "resnet50", {}, "depths 3, 4, 6, 3"),
    ("ViT", "vit_b_16", {}, ""),
    ("ConvNext", "convnext_tiny", {}, ""),
    ("Swin", "swin_t", {}, ""),
    ("Swinv2", "swin_v2_t", SWIN_V2, "window 8, 256 pixels"),
    ("RegNet", "regnet_y_400mf", {**REGNET, "layer_type": "y"}, "Y, 400 MFLOPS"),
    (
        "RegNet",
        "regnet_x_400mf",
        {
            **REGNET,
            "depths": [1, 2, 7, 12],
            "hidden_sizes": [32, 64, 160, 400],
            "groups_width": 16,
            "layer_type": "x",
        },
        "X, 400 MFLOPS",
    ),
    ("MobileNetV2", "mobilenet_v2", {"tf_padding": False}, "tf_padding off"),
    ("MobileNetV2", "mobilenet_v2", {}, ""),
    ("EfficientNet", "efficientnet_b0", B0, "B0"),
)

MINDCV_REASONS = {
    "regnet_x_400mf": "its last stage is 384 channels wide, this one's 400",
    "googlenet": "it has biases where this one has BatchNorms",
    "shufflenet_v2_*": "it shuffles channels before blocks, this one after them, and pads its"
    " pooling on the right and below only",
}


def _cases() -> Iterator[Case]:
    yield from (Case("timm", model, backbone) for model, backbone in TIMM.items())
    yield from (Case("Hugging Face", *each) for each in HUGGING_FACE)
    yield from (Case("MindCV", model, backbone) for model, backbone in MINDCV.items())


CASES = tuple(_cases())

REASONS = {
    **{("MindCV", model): reason for model, reason in MINDCV_REASONS.items()},
    ("timm", "inception_v3"): "it has no auxiliary classifier; `timm:inception_v3` builds it",
    ("timm", "maxvit_tiny_*"): "it pads like TensorFlow's SAME, and its tables of positions have"
    " other shapes; `timm:NAME` builds it",
    ("timm", "swinv2_tiny_window16_256"): "its windows are 16 wide, this one's 8, which only the"
    " file's name tells (a warning); `timm:NAME` builds it",
    ("timm", "resnet50d and others"): "another stem, pooling or activation; `timm:NAME` builds it",
    ("Hugging Face", "DeiT"): "it has a token for distillation; `timm:NAME` builds it (published"
    " DeiTs without it are of the class ViT, and taken)",
    ("Hugging Face", "MobileNetV1"): "torchvision has no MobileNetV1",
}
"""Why the weights of models fit no backbone."""

UNTOLD = {
    ("MindCV", "squeezenet1_1", "squeezenet1_1"): "it has torchvision's names, so that nothing"
    " tells that its first convolution is padded, and that its pooling leaves out a last row",
}
"""Models that are taken although their logits differ, since neither names nor shapes tell."""
