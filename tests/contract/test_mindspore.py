"""The contract on MindSpore."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
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

mindspore = pytest.importorskip("mindspore")
nets = importlib.import_module("contract.nets_mindspore")


class TestMindSpore(
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
    backend_name = "mindspore"
    exports = ("mindir", "onnx")
    linear = staticmethod(nets.linear)
    tiny_bn = staticmethod(nets.tiny_bn)
    tiny_dropout = staticmethod(nets.tiny_dropout)
    tiny_convolutional = staticmethod(nets.tiny_convolutional)
    tiny_auxiliary = staticmethod(nets.tiny_auxiliary)
    tiny_repeated = staticmethod(nets.tiny_repeated)

    def to_numpy(self, tensor: Any) -> Any:
        return tensor.asnumpy()

    @contextmanager
    def unusual_settings(self) -> Iterator[None]:
        mode = mindspore.get_context("mode")
        mindspore.set_context(mode=mindspore.GRAPH_MODE)
        try:
            yield
        finally:
            mindspore.set_context(mode=mode)

    def current_settings(self) -> Any:
        names = ("mode", "device_target", "deterministic", "runtime_num_threads")
        settings = [mindspore.get_context(name) for name in names]
        return settings, mindspore.get_seed(), mindspore.get_rng_state().asnumpy().tobytes()

    def draw(self) -> None:
        super().draw()
        mindspore.nn.Dense(2, 2)
