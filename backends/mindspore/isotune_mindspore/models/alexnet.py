"""AlexNet (A. Krizhevsky, "One weird trick for parallelizing ...", 2014), as torchvision's."""

from __future__ import annotations

from mindspore import Tensor, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.layers import conv, linear
from isotune_mindspore.models.pooling import AdaptiveMean


class AlexNet(nn.Cell):
    """Five convolutions and three linear layers. Images need at least 63 x 63 pixels."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.SequentialCell(
            conv(3, 64, 11, 4, padding=2, bias=True),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            conv(64, 192, 5, padding=2, bias=True),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            conv(192, 384, 3, padding=1, bias=True),
            nn.ReLU(),
            conv(384, 256, 3, padding=1, bias=True),
            nn.ReLU(),
            conv(256, 256, 3, padding=1, bias=True),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = AdaptiveMean(6)
        self.flatten = nn.Flatten()
        self.classifier = nn.SequentialCell(
            Dropout(0.5),
            linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            Dropout(0.5),
            linear(4096, 4096),
            nn.ReLU(),
            linear(4096, classes),
        )

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, height, width)."""
        return self.classifier(self.flatten(self.avgpool(self.features(x))))
