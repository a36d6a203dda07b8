"""The contract, on the backend that is installed under the name ``numpy``."""

from __future__ import annotations

import numpy as np

from isotune.testing import Explaining, Freezing, Heads, Shards, State, Steps, Tracing
from numpy_backend.backbone import Net, linear_layer
from numpy_backend.layers import Activation, BatchNorm, Conv, Dropout, Flatten, MeanPool


class TestContract(Steps, Shards, Freezing, State, Heads, Explaining, Tracing):
    backend_name = "numpy"

    def linear(self) -> Net:
        return Net(flatten=Flatten(), fc=linear_layer(192, 3))

    def tiny_bn(self) -> Net:
        return Net(
            conv=Conv(np.zeros((4, 3, 3, 3), np.float32), padding=1),
            bn=BatchNorm(4),
            relu=Activation("relu"),
            pool=MeanPool(),
            fc=linear_layer(4, 3),
        )

    def tiny_dropout(self) -> Net:
        return Net(
            **{"flatten": Flatten(), "stem.drop": Dropout(0.5)},
            **{"stem.hidden": linear_layer(192, 16), "relu": Activation("relu")},
            drop=Dropout(0.25),
            fc=linear_layer(16, 3),
        )
