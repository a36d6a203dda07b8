"""What hooks of PyTorch have to get right; what every tracer promises is in tests/contract."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from isotune.interfaces.dataset import Batch, DeviceBatch, Normalization
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.tracer import Recorder
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.testing.values import state
from isotune_torch.backend import TorchBackend
from isotune_torch.trainer import TorchTrainer

BACKEND = TorchBackend("cpu")
PLAN = TrainingPlan(SGDSpec(momentum=0.9))
Array = NDArray[np.float32]


def images(size: int = 4, side: int = 16) -> DeviceBatch:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (size, side, side, 3), dtype=np.uint8)
    batch = Batch(pixels, draw.integers(0, 3, size, dtype=np.int32))
    unit = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return next(iter(BACKEND.dataset.feed([batch], unit)))


@dataclass
class Kept(Recorder):
    """Copies of all that is reported."""

    inputs: bool = False
    outputs: dict[str, list[Array]] = field(default_factory=dict)
    given: dict[str, list[list[Array]]] = field(default_factory=dict)
    slopes: dict[tuple[str, int], Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        self.outputs.setdefault(path, []).append(output.copy())
        self.given.setdefault(path, []).append([each.copy() for each in inputs])

    def backward(self, path: str, call: int, gradient: Array) -> None:
        assert (path, call) not in self.slopes
        self.slopes[path, call] = gradient.copy()

    def gradient(self, parameter: str, gradient: Array) -> None:
        assert parameter not in self.gradients
        self.gradients[parameter] = gradient.copy()


def trainer_of(model: nn.Module, plan: TrainingPlan = PLAN) -> TorchTrainer:
    """Returns the trainer of a model that has got values."""
    model = BACKEND.backbones.adopt(model)
    shapes = {key: value.shape for key, value in BACKEND.state_adapter.export_model(model).items()}
    BACKEND.state_adapter.import_model(model, state(shapes))
    return BACKEND.trainer(model, plan)


def watched(trainer: TorchTrainer, inputs: bool = False, step: int = 0) -> Kept:
    kept = Kept(inputs)
    with BACKEND.tracer.watch(trainer, kept) as same:
        assert same
        trainer.train_step(images(), StepPlan(step, 0.1))
    return kept


class Tangled(nn.Module):
    """ReLU in place, one layer called twice, a branch through an identity, a list of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4))
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.shortcut = nn.Identity()
        self.join = Join()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.first(x))
        y = self.twice(self.twice(x))
        y += self.shortcut(x)
        y = self.relu(y)
        return self.fc(self.join([x, y]).mean((2, 3)))


class Join(nn.Module):
    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(parts, 1)


def test_values_are_from_before_what_changes_them_in_place() -> None:
    trainer = trainer_of(Tangled())
    model, batch = copy.deepcopy(trainer.model), images()
    kept = watched(trainer, inputs=True)

    x = model.first[0](batch.images)
    normal = model.first[1](x)
    hidden = normal.relu()
    once = model.twice(hidden)
    again = model.twice(once)
    relu = (again + hidden).relu()
    both = torch.cat([hidden, relu], 1)
    logits = model.fc(both.mean((2, 3)))
    steps = [x, normal, hidden, once, again, relu, both, logits]
    for each in steps:
        each.retain_grad()
    functional.cross_entropy(logits, batch.labels).backward()

    names = [("first.0", 0), ("first.1", 0), ("relu", 0), ("twice", 0), ("twice", 1), ("relu", 1)]
    names += [("join", 0), ("fc", 0)]
    for (path, call), expected in zip(names, steps, strict=True):
        assert_allclose(kept.outputs[path][call], expected.detach(), rtol=1e-4, atol=1e-6)
        assert_allclose(kept.slopes[path, call], expected.grad, rtol=1e-4, atol=1e-6)
    assert_array_equal(kept.outputs["first"], kept.outputs["first.1"])
    assert_array_equal(kept.slopes["first", 0], kept.slopes["first.1", 0])
    assert_array_equal(kept.given["relu"][0][0], kept.outputs["first.1"][0])
    assert_array_equal(kept.given["join"][0][0], kept.outputs["shortcut"][0])
    assert_array_equal(kept.given[""][0][0], batch.images)
    assert ("shortcut", 0) not in kept.slopes, "that of its input is no gradient of its own"
    for name, parameter in model.named_parameters():
        assert_allclose(kept.gradients[name], parameter.grad, rtol=1e-4, atol=1e-6)
    assert list(kept.outputs)[:3] == ["first.0", "first.1", "first"]
    assert list(kept.outputs)[-1] == ""


def test_nothing_is_left_on_the_model() -> None:
    trainer = trainer_of(Tangled())

    def attributes() -> list[object]:
        of_modules = [set(vars(module)) for module in trainer.model.modules()]
        hooks = [p._backward_hooks for p in trainer.model.parameters()]
        return [of_modules, hooks]

    before = attributes()
    with pytest.raises(ZeroDivisionError), BACKEND.tracer.watch(trainer, Broken()):
        trainer.train_step(images(), StepPlan(0, 0.1))
    assert attributes() == before
    for module in trainer.model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks


class Broken(Kept):
    """A recorder with an error."""

    def backward(self, path: str, call: int, gradient: Array) -> None:
        raise ZeroDivisionError


def test_only_steps_of_training_are_reported() -> None:
    trainer, kept = trainer_of(Tangled()), Kept()
    with BACKEND.tracer.watch(trainer, kept):
        trainer.eval_step(images())
    assert not kept.outputs


def test_what_is_frozen_has_outputs_but_no_gradients() -> None:
    trainer = trainer_of(Tangled())
    names = [name for name, _ in trainer.model.named_parameters() if not name.startswith("fc.")]
    trainer.freeze(FreezePlan(frozenset(names)))
    kept = watched(trainer)
    assert {path for path, _ in kept.slopes} == {"fc", ""}
    assert kept.gradients.keys() == {"fc.weight", "fc.bias"}
    assert kept.outputs.keys() == {path for path, _ in trainer.model.named_modules()}


def test_a_neighbor_is_the_next_number() -> None:
    batch = images()
    up = np.random.default_rng(1).random(tuple(batch.images.shape)) < 0.5
    moved = BACKEND.tracer.nudged(batch, up).images
    assert moved.stride() == batch.images.stride()
    limits = np.where(up, np.float32(np.inf), np.float32(-np.inf))
    assert_array_equal(moved, np.nextafter(batch.images.numpy(), limits))
