"""What MindSpore's exports need: cells in another form, and repairs in ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isotune.errors import BackendError
from isotune.interfaces.exporter import GraphSignature
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.testing.exports import check_graph
from isotune.testing.subject import Learner
from isotune.testing.values import NORMALIZATION, state

pytest.importorskip("mindspore")
pytest.importorskip("onnxruntime")
from mindspore import Parameter, Tensor, nn, ops

from isotune_mindspore.backend import MindSporeBackend
from isotune_mindspore.exportable import EdgePaddedMaxPool
from isotune_mindspore.exporter import MindSporeExporter
from isotune_mindspore.models.depthwise import DepthwiseConv2d
from isotune_mindspore.models.swin import CosineAttention

SIGNATURE = GraphSignature(8, 8, NORMALIZATION, "cross_entropy")


class Sorts(nn.Cell):
    """Every kind of cell and of constant that an export replaces or repairs."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Conv2d(3, 4, (1, 3), pad_mode="pad", padding=(0, 0, 1, 1))
        self.tall = nn.Conv2d(4, 4, (5, 1), pad_mode="pad", padding=(2, 2, 0, 0), has_bias=True)
        self.pool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        self.wide = nn.MaxPool2d((1, 2), 1, pad_mode="pad", padding=(0, 1))
        self.depthwise = DepthwiseConv2d(4, 4, 3, pad_mode="pad", padding=1, group=4)
        self.norm = nn.LayerNorm([4])
        self.attention = CosineAttention(4, 1, size=2, shift=1)
        self.hard = nn.SequentialCell(nn.HSwish(), nn.HSigmoid())
        self.gelu = nn.GELU(approximate=False)
        self.also = nn.GELU(approximate=False)
        self.token = Parameter(Tensor(np.full((1, 1, 4), 0.5, np.float32)), name="token")
        self.some, self.all = nn.AdaptiveAvgPool2d(3), nn.AdaptiveAvgPool2d(1)
        self.tile, self.concat, self.reshape = ops.Tile(), ops.Concat(1), ops.Reshape()
        self.transpose = ops.Transpose()
        self.fc = nn.Dense(4, 3)

    def construct(self, x: Tensor) -> Tensor:
        x = self.hard(self.tall(self.flat(x)))
        x = self.transpose(self.attention(self.transpose(x, (0, 2, 3, 1))), (0, 3, 1, 2))
        x = self.depthwise(self.wide(self.pool(self.gelu(x))))
        n, channels, rows, columns = x.shape
        places = self.transpose(self.reshape(x, (n, channels, rows * columns)), (0, 2, 1))
        places = self.also(self.norm(self.concat((self.tile(self.token, (n, 1, 1)), places))))
        x = self.transpose(places[:, 1:], (0, 2, 1))
        x = self.all(self.some(self.reshape(x, (n, channels, rows, columns))))
        return self.fc(self.reshape(x, (n, channels)) + places[:, 0])


class Calls(nn.Cell):
    """A linear layer after any function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.flatten, self.fc = nn.Flatten(), nn.Dense(192, 3)

    def construct(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(self.function(x)))


@pytest.mark.parametrize("form", ["mindir", "onnx"])
def test_replaced_cells_and_repaired_graphs_compute_the_same(form: str, tmp_path: Path) -> None:
    backend = MindSporeBackend("cpu")
    model = backend.backbones.adopt(Sorts())
    adapter = backend.state_adapter
    adapter.import_model(model, state(adapter.model_shapes(model)))
    learner = Learner(backend, model, backend.trainer(model, TrainingPlan(SGDSpec())))
    check_graph(learner, form, tmp_path / f"graph.{form}", "cross_entropy")


@pytest.mark.parametrize("padding", [(1, 1), (0, 1), (2, 0)])
def test_repeated_edges_change_no_maximum(padding: tuple[int, int]) -> None:
    kernel, stride = (2 * padding[0] + 1, 2 * padding[1] + 2), (2, 1)
    x = Tensor(-1 - np.random.default_rng(0).random((2, 3, 7, 6), np.float32))
    expected = nn.MaxPool2d(kernel, stride, pad_mode="pad", padding=padding)(x).asnumpy()
    actual = EdgePaddedMaxPool(kernel, stride, padding)(x).asnumpy()
    np.testing.assert_array_equal(actual, expected)


def test_an_operator_that_onnx_export_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"no operator Rsqrt, which Calls uses.*\.mindir"):
        MindSporeExporter().write(Calls(ops.Rsqrt()), "onnx", SIGNATURE, tmp_path / "graph.onnx")
    assert not list(tmp_path.iterdir())


class Numbered(nn.Cell):
    """Adds to each image its number in the batch, as no classifier should."""

    def construct(self, x: Tensor) -> Tensor:
        return x + ops.arange(x.shape[0]).reshape((-1, 1, 1, 1)).astype(x.dtype)


def test_a_constant_for_each_image_of_a_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"constant '.*' for a certain number of images"):
        MindSporeExporter().write(Calls(Numbered()), "onnx", SIGNATURE, tmp_path / "graph.onnx")
