"""LeNet-5 as MindSpore's tutorials build it (max pooling, ReLU), for RGB images of 32 x 32.

After LeCun et al., "Gradient-based learning applied to document recognition", 1998.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class LeNet5(nn.Module):
    """Two convolutions and three linear layers, for 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, input: Tensor) -> Tensor:
        """Returns logits, float32 (N, 10), from normalized images, float32 (N, 3, 32, 32)."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(input)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        hidden = torch.flatten(hidden, 1)
        hidden = functional.relu(self.fc1(hidden))
        hidden = functional.relu(self.fc2(hidden))
        logits: Tensor = self.fc3(hidden)
        return logits
