"""LeNet-5 for gray digits, as MindSpore's users write, train and save it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn, save_checkpoint, value_and_grad
from numpy.typing import NDArray


class GrayLeNet(nn.Cell):
    """Convolutions have no biases, which is MindSpore's default."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, pad_mode="valid")
        self.conv2 = nn.Conv2d(6, 16, 5, pad_mode="valid")
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2)
        self.flatten = nn.Flatten()
        self.fc1 = nn.Dense(16 * 5 * 5, 120)
        self.fc2 = nn.Dense(120, 84)
        self.fc3 = nn.Dense(84, 10)

    def construct(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.flatten(self.pool(self.relu(self.conv2(x))))
        return self.fc3(self.relu(self.fc2(self.relu(self.fc1(x)))))


def logits_of_a_saved_lenet(path: Path, images: NDArray[np.float32]) -> Any:
    """Trains a net one step, saves it with its optimizer's state, and returns its logits."""
    net = GrayLeNet()
    optimizer = nn.Momentum(net.trainable_params(), learning_rate=0.01, momentum=0.9)
    images, labels = Tensor(images), Tensor(np.arange(len(images), dtype=np.int32))
    loss = nn.CrossEntropyLoss()
    step = value_and_grad(lambda x, y: loss(net(x), y), None, optimizer.parameters)
    optimizer(step(images, labels)[1])
    kept = {p.name: p for p in (*net.get_parameters(), *optimizer.get_parameters())}
    named = [{"name": name, "data": value} for name, value in kept.items()]
    save_checkpoint(named, str(path), append_dict={"epoch_num": 1})
    return net(images).asnumpy()
