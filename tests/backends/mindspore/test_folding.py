"""Convolutions that compute BatchNorm in evaluation, in a copy of the model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from numpy.typing import NDArray

from isotune.catalogue.entries import catalogue
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.tracer import Array, Recorder
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.testing.values import state
from isotune_mindspore.backend import MindSporeBackend
from isotune_mindspore.fingerprint import Description
from isotune_mindspore.folding import FoldedModel, foldable
from isotune_mindspore.models.blocks import conv_norm
from isotune_mindspore.models.layers import GlobalMean, linear
from isotune_mindspore.step import EvalStep, pynative_mode
from isotune_mindspore.tracer import MindSporeTracer
from isotune_mindspore.trainer import MindSporeTrainer

BACKEND = MindSporeBackend("CPU")
DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(0, 1, (4, 3, 32, 32)).astype(np.float32)


class Tiny(nn.Cell):
    """A convolution with groups, one of its own channel, and one that strides."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.SequentialCell(
            [conv_norm(3, 8, stride=2), conv_norm(8, 8, groups=8), conv_norm(8, 4, 1)]
        )
        self.mean = GlobalMean()
        self.fc = linear(4, 5)

    def construct(self, x: Tensor) -> Tensor:
        """Returns logits (N, 5)."""
        return self.fc(self.mean(self.features(x)))


Tiny.__module__ = "isotune_mindspore.models.tiny"


def with_values(model: nn.Cell) -> nn.Cell:
    """Returns a model with values, also of its statistics."""
    adapter, model = BACKEND.state_adapter, BACKEND.backbones.adopt(model)
    adapter.import_model(model, state(adapter.model_shapes(model)))
    return model


def evaluated(model: nn.Cell) -> NDArray[np.float32]:
    """Returns a model's own logits, without a compiled graph."""
    step = EvalStep(model)
    with pynative_mode():
        model.set_train(False)
        logits: NDArray[np.float32] = step(Tensor(IMAGES)).asnumpy().copy()
    return logits


def assert_close(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    """Checks the bound: 1e-5 of the largest element."""
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "left"),
    [("resnet18", 0), ("resnet50", 0), ("densenet121", 62), ("googlenet", 0), ("mnasnet0_5", 0)],
)
def test_layers_that_follow_a_convolution_are_folded(name: str, left: int) -> None:
    """All BatchNorm layers, in DenseNet only those; the model keeps its own."""
    model = BACKEND.backbones.build(catalogue()[name])
    names, copied = list(BACKEND.state_adapter.model_shapes(model)), FoldedModel(model).cell
    assert sum(type(cell) is nn.BatchNorm2d for _, cell in copied.cells_and_names()) == left
    assert list(BACKEND.state_adapter.model_shapes(model)) == names


def test_evaluation_follows_every_change_of_the_weights() -> None:
    """Training steps of all or some layers, averages, ``set_data``, and values that are copied."""
    model = with_values(Tiny())
    trainer = MindSporeTrainer(model, TrainingPlan(SGDSpec(), averages=True))
    batch = DeviceBatch(Tensor(IMAGES), Tensor(np.arange(4, dtype=np.int32)), 4)

    def check() -> NDArray[np.float32]:
        logits: NDArray[np.float32] = trainer.fetch([trainer.eval_step(batch)])[0].logits
        assert_close(logits, evaluated(model))
        return logits

    before, seen = BACKEND.state_adapter.export_model(model), [check()]
    kept = frozenset(name for name in trainer.trained if not name.startswith("fc."))
    for step, plan in enumerate([FreezePlan(), FreezePlan(kept, "train")]):
        trainer.freeze(plan)
        trainer.train_step(batch, StepPlan(step, 0.05, average_decay=0.5))
        seen.append(check())
    trainer.swap_average()
    seen.append(check())
    weight = model.features[1][0].weight
    weight.set_data(Tensor(weight.asnumpy() * 2))
    seen.append(check())
    BACKEND.state_adapter.import_model(model, before)
    assert np.array_equal(check(), seen[0])
    assert not any(np.array_equal(a, b) for a, b in pairwise(seen))


FROZEN = frozenset(
    f"features.{block}.{name}" for block in (0, 1) for name in ("0.weight", "1.weight", "1.bias")
)
"""The parameters of the first two of :class:`Tiny`'s blocks."""


def test_training_steps_fold_frozen_layers_and_follow_every_change_of_them() -> None:
    """Logits, updates and gradients are those of steps of the model itself; its state is whole."""
    batch = DeviceBatch(Tensor(IMAGES), Tensor(np.arange(4, dtype=np.int32)), 4)
    models = [with_values(Tiny()) for _ in range(2)]
    trainers = [MindSporeTrainer(model, TrainingPlan(SGDSpec(momentum=0.9))) for model in models]
    trainers[1]._folds = False
    adapter, number = BACKEND.state_adapter, 0
    initial = adapter.export_model(models[0])

    def check(plan: FreezePlan, layers: int) -> None:
        nonlocal number
        for _ in range(2):
            before, found = adapter.export_model(models[0]), []
            for trainer in trainers:
                trainer.freeze(plan)
                found += trainer.fetch([trainer.train_step(batch, StepPlan(number, 0.05))])
            number += 1
            assert_close(found[0].logits, found[1].logits)
            own, other = map(adapter.export_model, models)
            for name, value in other.items():
                assert np.abs(own[name] - value).max() <= 1e-5 * max(1, np.abs(value).max())
                if name in plan.frozen:
                    assert np.array_equal(own[name], before[name])
        folded = trainers[0]._frozen
        assert (0 if folded is None else folded.layers) == layers

    check(FreezePlan(FROZEN), 2)
    for model in models:
        weight = model.features[1][0].weight
        weight.set_data(Tensor(weight.asnumpy() * 2))
    check(FreezePlan(FROZEN), 2)
    for model in models:
        adapter.import_model(model, initial)
    check(FreezePlan(FROZEN), 2)
    for model in models:  # another trainer's steps change what is frozen here
        MindSporeTrainer(model, TrainingPlan(SGDSpec())).train_step(batch, StepPlan(0, 0.05))
    check(FreezePlan(FROZEN), 2)
    check(FreezePlan(), 0)
    check(FreezePlan(FROZEN - {"features.0.0.weight"}), 1)
    check(FreezePlan(FROZEN, "train"), 0)


class Names(Recorder):
    """Notes which parts of a model a step has run."""

    inputs = False

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        self.seen.add(path)

    def backward(self, path: str, call: int, gradient: Array) -> None:
        pass

    def gradient(self, name: str, value: Array) -> None:
        pass


def test_a_watched_step_is_that_of_the_model_itself() -> None:
    """Layers that are folded in the compiled step are seen, and the compiled step stays."""
    batch = DeviceBatch(Tensor(IMAGES), Tensor(np.arange(4, dtype=np.int32)), 4)
    trainer = MindSporeTrainer(with_values(Tiny()), TrainingPlan(SGDSpec()))
    trainer.freeze(FreezePlan(FROZEN))
    losses, names = [], Names()
    for step in range(3):
        watched = MindSporeTracer().watch(trainer, names) if step == 1 else nullcontext()
        with watched:
            losses.append(trainer.fetch([trainer.train_step(batch, StepPlan(step, 0.0))])[0].loss)
    assert {"features.0.1", "features.1.1", "features.2.1"} <= names.seen
    assert losses[0] == losses[2] == pytest.approx(losses[1], rel=1e-5)


def test_only_known_models_are_folded() -> None:
    """Somebody else's code may use what a convolution returns a second time."""
    assert ms.get_context("device_target") == "CPU"
    assert foldable(Tiny())
    assert not foldable(nn.SequentialCell([conv_norm(3, 4)]))
    assert not foldable(BACKEND.backbones.build(catalogue()["squeezenet1_1"]))


def test_graphs_of_folded_models_are_kept_under_a_key_of_their_own() -> None:
    """What the compile cache knows of a copy is the same each time, and not that of the model."""

    def key(cell: nn.Cell) -> str:
        description = Description()
        description.add(EvalStep(cell))
        return description.digest()

    built = [BACKEND.backbones.build(catalogue()["mobilenet_v2"]) for _ in range(2)]
    folded = [FoldedModel(model) for model in built]
    for each in folded:
        each.refresh()
    assert key(folded[0].cell) == key(folded[1].cell) != key(built[0])
