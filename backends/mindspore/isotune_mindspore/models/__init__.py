"""Models with torchvision's parameter names and layouts, as cells."""

from __future__ import annotations

from collections.abc import Callable

from mindspore import nn

from isotune_mindspore.models.alexnet import AlexNet
from isotune_mindspore.models.convnext import CONVNEXTS
from isotune_mindspore.models.densenet import DENSENETS
from isotune_mindspore.models.efficientnet import EFFICIENTNETS
from isotune_mindspore.models.efficientnet_lite0 import EfficientNetLite0
from isotune_mindspore.models.googlenet import GoogLeNet
from isotune_mindspore.models.inception_v3 import InceptionV3
from isotune_mindspore.models.lenet import LeNet
from isotune_mindspore.models.maxvit import MAXVITS
from isotune_mindspore.models.mnasnet import MNASNETS
from isotune_mindspore.models.mobilenet_v2 import MobileNetV2
from isotune_mindspore.models.mobilenet_v3 import MOBILENETS_V3
from isotune_mindspore.models.regnet import REGNETS
from isotune_mindspore.models.resnet import RESNETS
from isotune_mindspore.models.shufflenet_v2 import SHUFFLENETS_V2
from isotune_mindspore.models.squeezenet import SQUEEZENETS
from isotune_mindspore.models.swin import SWINS
from isotune_mindspore.models.vgg import VGGS
from isotune_mindspore.models.vision_transformer import VISION_TRANSFORMERS

MODELS: dict[str, Callable[..., nn.Cell]] = {
    **CONVNEXTS,
    **DENSENETS,
    **EFFICIENTNETS,
    **MAXVITS,
    **MNASNETS,
    **MOBILENETS_V3,
    **REGNETS,
    **RESNETS,
    **SHUFFLENETS_V2,
    **SQUEEZENETS,
    **SWINS,
    **VGGS,
    **VISION_TRANSFORMERS,
    "alexnet": AlexNet,
    "efficientnet_lite0": EfficientNetLite0,
    "googlenet": GoogLeNet,
    "inception_v3": InceptionV3,
    "lenet": LeNet,
    "mobilenet_v2": MobileNetV2,
}
"""Builders of the models, with their original heads, by the catalogue's names.

The Vision Transformers also take ``image_size``, which their parameters depend on.
"""
