"""The contract on MindSpore."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from isotune.testing import Classifiers, Freezing, Heads, State, Steps

pytest.importorskip("mindspore")
nets = importlib.import_module("contract.nets_mindspore")


class TestMindSpore(Steps, Freezing, State, Heads, Classifiers):
    backend_name = "mindspore"
    linear = staticmethod(nets.linear)
    tiny_bn = staticmethod(nets.tiny_bn)
    tiny_dropout = staticmethod(nets.tiny_dropout)
    tiny_convolutional = staticmethod(nets.tiny_convolutional)
    tiny_auxiliary = staticmethod(nets.tiny_auxiliary)

    def to_numpy(self, tensor: Any) -> Any:
        return tensor.asnumpy()
