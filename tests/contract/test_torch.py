"""The contract on PyTorch."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from isotune.testing import (
    Classifiers,
    Explaining,
    Exports,
    Freezing,
    Heads,
    Processes,
    Shards,
    State,
    Steps,
    TracingGraphs,
)

torch = pytest.importorskip("torch")
nets = importlib.import_module("contract.nets_torch")


class TestTorch(
    Steps,
    Shards,
    Processes,
    Freezing,
    State,
    Heads,
    Classifiers,
    Exports,
    Explaining,
    TracingGraphs,
):
    backend_name = "torch"
    exports = ("onnx",)
    linear = staticmethod(nets.linear)
    tiny_bn = staticmethod(nets.tiny_bn)
    tiny_dropout = staticmethod(nets.tiny_dropout)
    tiny_convolutional = staticmethod(nets.tiny_convolutional)
    tiny_auxiliary = staticmethod(nets.tiny_auxiliary)
    tiny_repeated = staticmethod(nets.tiny_repeated)

    @contextmanager
    def unusual_settings(self) -> Iterator[None]:
        before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
            stack.enter_context(torch.device("meta"))
            stack.callback(torch.set_grad_enabled, True)
            torch.set_grad_enabled(False)
            stack.callback(torch.set_default_dtype, before[0])
            torch.set_default_dtype(torch.float64)
            stack.callback(torch.set_float32_matmul_precision, before[1])
            torch.set_float32_matmul_precision("medium")
            stack.callback(torch.use_deterministic_algorithms, False)
            torch.use_deterministic_algorithms(True)
            yield

    def current_settings(self) -> Any:
        return (
            (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
            (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
            (torch.get_default_dtype(), torch.get_default_device()),
            (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_num_threads(),
            torch.get_rng_state().numpy().tobytes(),
        )

    def draw(self) -> None:
        super().draw()
        torch.rand(1)

    @pytest.fixture(autouse=True)
    def cheap_compilation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The default of ``torch.compile`` needs a C++ compiler and half a minute."""
        compile_model = torch.compile
        monkeypatch.setattr(torch, "compile", lambda m: compile_model(m, backend="aot_eager"))
