"""The contract on PyTorch."""

from __future__ import annotations

import importlib

import pytest

from isotune.testing import Classifiers, Freezing, Heads, State, Steps

torch = pytest.importorskip("torch")
nets = importlib.import_module("contract.nets_torch")


class TestTorch(Steps, Freezing, State, Heads, Classifiers):
    backend_name = "torch"
    linear = staticmethod(nets.linear)
    tiny_bn = staticmethod(nets.tiny_bn)
    tiny_dropout = staticmethod(nets.tiny_dropout)
    tiny_convolutional = staticmethod(nets.tiny_convolutional)
    tiny_auxiliary = staticmethod(nets.tiny_auxiliary)

    @pytest.fixture(autouse=True)
    def cheap_compilation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The default of ``torch.compile`` needs a C++ compiler and half a minute."""
        compile_model = torch.compile
        monkeypatch.setattr(torch, "compile", lambda m: compile_model(m, backend="aot_eager"))
