"""Tests of what is MindSpore's own; what every backend promises is in tests/contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from isotune.interfaces.backend import Backend

collect_ignore_glob = [] if find_spec("mindspore") else ["test_*.py"]


@pytest.fixture(scope="session")
def backend() -> Backend:
    from isotune_mindspore.plugin import MindSporeOffer

    return MindSporeOffer().open("cpu")


@pytest.fixture
def nested(backend: Backend) -> Callable[[], Any]:
    """Builds a third party's model: BatchNorm, dropout and the head within other cells."""
    from mindspore import nn

    class Block(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1, has_bias=False)
            self.bn = nn.BatchNorm2d(3)

        def construct(self, x: Any) -> Any:
            return self.bn(self.conv(x))

    class Nested(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.first = Block()
            self.second = Block()
            self.tail = nn.SequentialCell([nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU()])
            self.head = nn.SequentialCell([nn.Dropout(p=0.5), nn.Dense(4, 3)])

        def construct(self, x: Any) -> Any:
            return self.head(self.tail(self.second(self.first(x))).mean((2, 3)))

    return lambda: backend.backbones.adopt(Nested())


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collects the class of each cell that MindSpore compiles."""
    from mindspore.graph.api import _cell_graph_executor

    seen: list[str] = []
    compile_cell = _cell_graph_executor.compile

    def spy(cell: Any, *args: Any, **options: Any) -> Any:
        result = compile_cell(cell, *args, **options)
        if result[1]:
            seen.append(type(cell).__name__)
        return result

    monkeypatch.setattr(_cell_graph_executor, "compile", spy)
    yield seen
