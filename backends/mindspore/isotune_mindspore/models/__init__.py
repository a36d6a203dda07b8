"""Models with torchvision's parameter names and layouts, as plain cells."""

from __future__ import annotations

from collections.abc import Callable

from mindspore import nn

from isotune_mindspore.models.alexnet import AlexNet
from isotune_mindspore.models.efficientnet_lite0 import EfficientNetLite0
from isotune_mindspore.models.lenet import LeNet
from isotune_mindspore.models.mobilenet_v2 import MobileNetV2
from isotune_mindspore.models.resnet import RESNETS
from isotune_mindspore.models.vgg import VGGS

MODELS: dict[str, Callable[[], nn.Cell]] = {
    **RESNETS,
    **VGGS,
    "alexnet": AlexNet,
    "efficientnet_lite0": EfficientNetLite0,
    "lenet": LeNet,
    "mobilenet_v2": MobileNetV2,
}
"""What builds each model, with its original head, by the catalogue's name."""
