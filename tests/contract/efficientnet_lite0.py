"""EfficientNet-Lite0 in NumPy, since torchvision lacks it.

Table 1 of Tan and Le (2019, https://arxiv.org/abs/1905.11946) without squeeze-and-excitation and
with ReLU6, stem and head of fixed width, TensorFlow's SAME padding and BatchNorm constants
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isotune.testing.reference.layers import Array, BatchNorm, Conv, Dropout, Layer, Linear, Pass

STAGES = [
    # expansion, channels, blocks, stride, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
]


class ReLU6(Layer):
    def forward(self, x: Array, at: Pass) -> Array:
        return np.clip(x, 0, 6)


@dataclass
class Block(Layer):
    """Layers whose input is added to their output if `residual`."""

    layers: list[Layer]
    residual: bool

    def forward(self, x: Array, at: Pass) -> Array:
        y = x
        for layer in self.layers:
            y = layer.forward(y, at)
        return x + y if self.residual else y


class Pool(Layer):
    def forward(self, x: Array, at: Pass) -> Array:
        return x.mean((2, 3))


class EfficientNetLite0:
    """The net for 1000 classes and even image sizes.

    Attributes:
        shapes: canonical names and shapes of the state.
        layers: the layers in order.
    """

    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.layers = self._unit("features.0", 3, 32, kernel=3, stride=2)
        inputs = 32
        for i, (expansion, outputs, blocks, stride, kernel) in enumerate(STAGES, start=1):
            for j in range(blocks):
                path, step = f"features.{i}.{j}.block", stride if j == 0 else 1
                self.layers += [self._block(path, inputs, outputs, expansion, kernel, step)]
                inputs = outputs
        self.layers += self._unit("features.8", inputs, 1280)
        self.shapes |= {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}
        self.layers += [Pool(), Dropout("classifier.0", 0.2), Linear("classifier.1")]

    def _block(
        self, path: str, inputs: int, outputs: int, expansion: int, kernel: int, stride: int
    ) -> Block:
        width, layers = inputs * expansion, list[Layer]()
        if expansion > 1:
            layers += self._unit(f"{path}.0", inputs, width)
        at = int(expansion > 1)
        layers += self._unit(f"{path}.{at}", width, width, kernel, stride, depthwise=True)
        layers += self._unit(f"{path}.{at + 1}", width, outputs)[:-1]
        return Block(layers, residual=stride == 1 and inputs == outputs)

    def _unit(
        self,
        path: str,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
    ) -> list[Layer]:
        # SAME for even sizes: kernel - stride rows of zeros, the odd one at the end.
        total = kernel - stride
        padding = (total // 2, total - total // 2)
        self.shapes[f"{path}.0.weight"] = (outputs, 1 if depthwise else inputs, kernel, kernel)
        for kind in ("weight", "bias", "running_mean", "running_var"):
            self.shapes[f"{path}.1.{kind}"] = (outputs,)
        return [
            Conv(f"{path}.0", stride, padding, depthwise),
            BatchNorm(f"{path}.1", eps=1e-3, momentum=0.01),
            ReLU6(),
        ]
