"""Watching MindSpore's steps: compiled steps stay, and layers have PyTorch's names and settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from mindspore import nn

from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.interfaces.dataset import Batch, DeviceBatch, Normalization
from isotune.interfaces.tracer import Array, Recorder, Tracer
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune_mindspore.dropout import Dropout, StochasticDepth
from isotune_mindspore.layer_kinds import layer
from isotune_mindspore.models.layers import GlobalMean, LayerNorm2d, conv
from isotune_mindspore.models.pooling import AdaptiveMean, CeilMaxPool, PaddedMean

PLAN = TrainingPlan(SGDSpec(momentum=0.9))


class Kept(Recorder):
    """Keeps all that is reported."""

    inputs = True

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Array], Array]] = []
        self.slopes: dict[tuple[str, int], Array] = {}
        self.gradients: dict[str, Array] = {}

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        self.calls.append((path, [each.copy() for each in inputs], output.copy()))

    def backward(self, path: str, call: int, gradient: Array) -> None:
        self.slopes[path, call] = gradient.copy()

    def gradient(self, parameter: str, gradient: Array) -> None:
        self.gradients[parameter] = gradient.copy()


@pytest.fixture
def tracer(backend: Backend) -> Tracer:
    assert backend.tracer is not None
    return backend.tracer


@pytest.fixture
def batch(backend: Backend) -> DeviceBatch:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    labels = random.integers(0, 3, 4).astype(np.int32)
    normalization = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return next(iter(backend.dataset.feed([Batch(images, labels)], normalization)))


def test_a_watched_step_compiles_nothing_and_leaves_what_is_compiled(
    backend: Backend,
    tracer: Tracer,
    batch: DeviceBatch,
    nested: Callable[[], Any],
    compiled: list[str],
) -> None:
    model = nested()
    trainer = backend.trainer(model, PLAN)

    def step(number: int) -> None:
        trainer.fetch([trainer.train_step(batch, StepPlan(number, 0.1))])

    def watched(number: int) -> None:
        modes = [cell.training for _, cell in model.cells_and_names()]
        with tracer.watch(trainer, Kept()) as unchanged:
            step(number)
        assert not unchanged
        assert modes == [cell.training for _, cell in model.cells_and_names()]

    watched(0)
    assert compiled == []
    step(1)
    watched(2)
    step(3)
    trainer.fetch([trainer.eval_step(batch)])
    watched(4)
    step(5)
    assert compiled == ["TrainStep", "EvalStep"]


def test_a_cell_alone_computes_what_it_does_in_the_step(
    backend: Backend, tracer: Tracer, batch: DeviceBatch, nested: Callable[[], Any]
) -> None:
    model = nested()
    trainer = backend.trainer(model, PLAN)
    before = backend.state_adapter.export_model(model)
    seen = Kept()
    with tracer.watch(trainer, seen):
        trainer.fetch([trainer.train_step(batch, StepPlan(3, 0.1))])
    backend.state_adapter.import_model(model, before)
    paths = [path for path, _, _ in seen.calls]
    assert paths[-1] == ""
    assert set(paths) == {each.path for each in tracer.layers(trainer)}
    for path, inputs, output in seen.calls:
        alone = tracer.run(trainer, path, inputs, seen.slopes[path, 0], StepPlan(3, 0.1))
        assert alone.output.tobytes() == output.tobytes()
        for name, gradient in alone.parameters.items():
            assert gradient.tobytes() == seen.gradients[name].tobytes()
    after = backend.state_adapter.export_model(model)
    assert all(after[name].tobytes() == before[name].tobytes() for name in before)


def test_errors_name_the_part(backend: Backend, tracer: Tracer, nested: Callable[[], Any]) -> None:
    trainer = backend.trainer(nested(), PLAN)
    with pytest.raises(BackendError, match=r"no part 'tial'.*'tail'"):
        tracer.run(trainer, "tial", [], None, StepPlan(0, 0.1))
    wrong = np.zeros((2, 5), np.float32)
    with pytest.raises(BackendError, match=r"'head.1' \(Dense\) does not take .* \(2, 5\)"):
        tracer.run(trainer, "head.1", [wrong], wrong, StepPlan(0, 0.1))


def test_global_means_have_the_shape_of_adaptive_pooling(
    backend: Backend, tracer: Tracer, batch: DeviceBatch
) -> None:
    model = backend.backbones.adopt(nn.SequentialCell(conv(3, 3, 1), GlobalMean(), nn.Dense(3, 3)))
    trainer = backend.trainer(model, PLAN)
    seen = Kept()
    with tracer.watch(trainer, seen):
        trainer.fetch([trainer.train_step(batch, StepPlan(0, 0.1))])
    path, inputs, output = seen.calls[1]
    assert path == "1"
    assert output.shape == seen.slopes["1", 0].shape == (4, 3, 1, 1)
    alone = tracer.run(trainer, "1", inputs, seen.slopes["1", 0], StepPlan(0, 0.1))
    assert alone.output.tobytes() == output.tobytes()


def test_variants_change_the_rounding_of_all_that_sums(
    backend: Backend, tracer: Tracer, batch: DeviceBatch, compiled: list[str]
) -> None:
    cells = [
        conv(3, 16, 1),
        conv(16, 16, 3, padding=1),
        conv(16, 16, 3, padding=1, groups=16),
        GlobalMean(),
        nn.Dense(16, 3),
    ]
    model = backend.backbones.adopt(nn.SequentialCell(cells))
    random = np.random.default_rng(1)
    shapes = backend.state_adapter.model_shapes(model)
    state = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    backend.state_adapter.import_model(model, state)
    trainer = backend.trainer(model, PLAN)
    (variant,) = tracer.variants(trainer).values()
    alone = random.normal(size=(2, 16, 6, 6)).astype(np.float32), random.normal(size=(2, 16))

    def outputs() -> list[Array]:
        paths = {"1": alone[0], "2": alone[0], "4": alone[1]}
        plan = StepPlan(0, 0.1)
        return [tracer.run(trainer, path, [paths[path]], None, plan).output for path in paths]

    before, layers = outputs(), tracer.layers(trainer)
    with variant:
        assert tracer.layers(trainer) == layers
        varied = outputs()
        trainer.fetch([trainer.train_step(batch, StepPlan(0, 0.0))])
    for one, other in zip(before, varied, strict=True):
        assert one.tobytes() != other.tobytes()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert [each.tobytes() for each in outputs()] == [each.tobytes() for each in before]
    assert compiled == []


@pytest.mark.parametrize(
    ("cell", "kind", "settings"),
    [
        (conv(4, 4, 3, 2, padding=1), "Conv2d", {"padding": (1, 1), "stride": (2, 2)}),
        (conv(4, 8, (1, 7), padding=(0, 3), groups=2), "Conv2d", {"padding": (0, 3), "groups": 2}),
        (conv(4, 4, 3, 2, padding="same", groups=4), "Conv2d", {"padding": "same", "groups": 4}),
        (nn.Conv2d(4, 4, 5, dilation=2), "Conv2d", {"padding": (4, 4), "bias": False}),
        (
            nn.Conv2d(4, 4, 3, pad_mode="pad", padding=(0, 1, 0, 1)),
            "Conv2d",
            {"padding": (0, 1, 0, 1)},
        ),
        (nn.Dense(2, 2, has_bias=False), "Linear", {"bias": False}),
        (nn.BatchNorm2d(2), "BatchNorm2d", {"eps": 1e-5, "momentum": 0.1}),
        (nn.LayerNorm([2], epsilon=1e-6), "LayerNorm", {"eps": 1e-6, "normalized_shape": (2,)}),
        (LayerNorm2d(2), "LayerNorm2d", {"eps": 1e-6}),
        (nn.GELU(), "GELU", {"approximate": "tanh"}),
        (nn.GELU(approximate=False), "GELU", {"approximate": "none"}),
        (nn.MaxPool2d(3, 1, pad_mode="same"), "MaxPool2d", {"padding": (1, 1), "stride": (1, 1)}),
        (nn.MaxPool2d(3, 2, pad_mode="pad", padding=1), "MaxPool2d", {"padding": (1, 1)}),
        (CeilMaxPool(2), "MaxPool2d", {"kernel_size": (2, 2), "stride": (2, 2), "ceil_mode": True}),
        (PaddedMean(2), "AvgPool2d", {"padding": (1, 1), "count_include_pad": True}),
        (
            nn.AvgPool2d(3, 2, pad_mode="pad", padding=1, count_include_pad=False),
            "AvgPool2d",
            {"padding": (1, 1), "count_include_pad": False},
        ),
        (AdaptiveMean(7), "AdaptiveAvgPool2d", {"output_size": (7, 7)}),
        (nn.AdaptiveAvgPool2d(2), "AdaptiveAvgPool2d", {"output_size": (2, 2)}),
        (Dropout(0.3), "Dropout", {"p": 0.3}),
        (nn.Dropout(keep_prob=0.8), "Dropout", {"p": 0.2}),
        (StochasticDepth(0.2), "StochasticDepth", {"p": 0.2}),
        (nn.LeakyReLU(0.1), "LeakyReLU", {"negative_slope": 0.1}),
        (nn.ELU(), "ELU", {"alpha": 1.0}),
        (nn.Softmax(), "Softmax", {"dim": -1}),
        (nn.GroupNorm(2, 4), "GroupNorm", {"num_groups": 2, "eps": 1e-5}),
        (nn.HSwish(), "Hardswish", {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Cell) else "",
)
def test_layers_have_the_settings_of_pytorch(
    cell: nn.Cell, kind: str, settings: dict[str, Any]
) -> None:
    found = layer("path", cell)
    assert (found.path, found.kind, found.leaf) == ("path", kind, True)
    assert {name: found.settings[name] for name in settings} == settings
