"""LeNet-5 for 32 x 32 color images, as the classic tutorials build it."""

from __future__ import annotations

from mindspore import Tensor, nn

from isotune_mindspore.models.layers import conv, linear


class LeNet(nn.Cell):
    """Two convolutions and three linear layers, with ReLU and max pooling."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv(3, 6, 5, bias=True)
        self.conv2 = conv(6, 16, 5, bias=True)
        self.fc1 = linear(400, 120)
        self.fc2 = linear(120, 84)
        self.fc3 = linear(84, classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)
        self.flatten = nn.Flatten()

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) of images (N, 3, 32, 32)."""
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.fc1(self.flatten(x)))
        return self.fc3(self.relu(self.fc2(x)))
