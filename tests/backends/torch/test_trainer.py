"""A torch trainer leaves no trace on the model and does not wait for the device."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from isotune.catalogue.entries import catalogue
from isotune.errors import SpecError, TrainingError
from isotune.interfaces.dataset import Batch, DeviceBatch, Normalization
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import AdamSpec, OptimizerSpec, SGDSpec
from isotune.spec.values import Precision
from isotune.testing.values import state
from isotune_torch.backend import TorchBackend
from isotune_torch.trainer import TorchTrainer

BACKEND = TorchBackend("cpu")
MOMENTUM = SGDSpec(momentum=0.9, weight_decay=0.01)


def images(size: int = 4, side: int = 32) -> DeviceBatch:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (size, side, side, 3), dtype=np.uint8)
    batch = Batch(images, draw.integers(0, 10, size, dtype=np.int32))
    unit = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return next(iter(BACKEND.dataset.feed([batch], unit)))


class Net(nn.Module):
    """Convolution, BatchNorm and dropout, flattened with ``view`` as older code does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, stride=4)
        self.bn = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8 * 49, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.drop(torch.relu(self.bn(self.conv(x))))
        return self.fc(hidden.view(len(x), -1))


def backbone(name: str) -> nn.Module:
    """Returns a backbone with values."""
    model = BACKEND.backbones.build(catalogue()[name])
    shapes = {key: value.shape for key, value in BACKEND.state_adapter.export_model(model).items()}
    BACKEND.state_adapter.import_model(model, state(shapes))
    return model


def trainer_of(model: nn.Module, optimizer: OptimizerSpec = MOMENTUM) -> TorchTrainer:
    return BACKEND.trainer(model, TrainingPlan(optimizer))


def test_the_model_stays_plain() -> None:
    model = BACKEND.backbones.adopt(Net())
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    random_state = torch.get_rng_state()
    trainer, batch = trainer_of(model), images()
    trainer.train_step(batch, StepPlan(0, 0.1))
    assert torch.equal(torch.get_rng_state(), random_state)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    for module in model.modules():
        assert module.training
        assert not module._forward_hooks and not module._forward_pre_hooks
    assert all(p.grad is None and p.is_leaf for p in model.parameters())
    plain = copy.deepcopy(model)
    plain(batch.images.contiguous()).sum().backward()
    assert plain.conv.weight.grad.abs().sum() > 0


def test_steps_never_read_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, batch = (
        trainer_of(backbone("mobilenet_v2"), AdamSpec(name="adam")),
        images(),
    )

    def reading(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a step waited for the device")

    with monkeypatch.context() as patch:
        for name in ("item", "cpu", "numpy", "tolist", "__bool__", "__float__", "__int__"):
            patch.setattr(torch.Tensor, name, reading)
        outputs = [trainer.train_step(batch, StepPlan(step, 0.1)) for step in range(2)]
        outputs.append(trainer.eval_step(batch))
    fetched = trainer.fetch(outputs)
    assert np.isfinite([fetched[0].loss, fetched[1].loss]).all()
    assert np.isnan(fetched[2].loss)
    assert [output.logits.shape for output in fetched] == [(4, 1000)] * 3


def test_thawing_goes_on_with_plain_sgd() -> None:
    """Momentum that is kept and momentum that starts anew meet in one optimizer."""
    batch, frozen = images(), FreezePlan(frozenset({"fc1.weight", "fc1.bias"}))
    model = backbone("lenet")
    twin = copy.deepcopy(model)
    trainer = trainer_of(model)
    plain = torch.optim.SGD(twin.parameters(), momentum=0.9, weight_decay=0.01, foreach=False)
    for step, plan in enumerate([FreezePlan(), frozen, frozen, FreezePlan(), FreezePlan()]):
        trainer.freeze(plan)
        trainer.train_step(batch, StepPlan(step, 0.05))
        nn.functional.cross_entropy(twin(batch.images), batch.labels).backward()
        if plan is frozen:
            for parameter in twin.fc1.parameters():
                parameter.grad = None
                plain.state.pop(parameter, None)
        for group in plain.param_groups:
            group["lr"] = 0.05
        plain.step()
        plain.zero_grad()
    for name, value in twin.state_dict().items():
        assert_allclose(model.state_dict()[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", [MOMENTUM, AdamSpec(name="adam")])
def test_imported_state_lies_in_memory_as_its_parameter(optimizer: OptimizerSpec) -> None:
    model = backbone("lenet")
    assert not model.conv1.weight.is_contiguous()
    trainer, batch = trainer_of(model, optimizer), images()
    trainer.train_step(batch, StepPlan(0, 0.01))
    twin = copy.deepcopy(model)
    other = trainer_of(twin, optimizer)
    state = BACKEND.state_adapter.export_optimizer(trainer)
    BACKEND.state_adapter.import_optimizer(other, state)
    for one in (trainer, other):
        one.train_step(batch, StepPlan(1, 0.01))
    for name, value in model.state_dict().items():
        assert torch.equal(twin.state_dict()[name], value), name


def test_float16_gradients_are_clipped_without_their_scale() -> None:
    batch, before = images(), backbone("lenet").state_dict()

    def trained(precision: Precision, scale: float = 2.0**10) -> tuple[float, float]:
        """Returns the norm of the gradient, and that of what the update changed."""
        model = backbone("lenet")
        plan = TrainingPlan(SGDSpec(), clip_grad_norm=0.5, precision=precision)
        trainer = BACKEND.trainer(model, plan)
        trainer.precision_policy.load_scaler({"scale": scale, "growth_tracker": 0.0})
        (output,) = trainer.fetch([trainer.train_step(batch, StepPlan(0, 0.1))])
        moved = [(value - before[name]).norm() for name, value in model.state_dict().items()]
        return output.grad_norm, float(torch.stack(moved).norm())

    norm, moved = trained("fp32")
    assert norm > 2 * 0.5
    assert moved == pytest.approx(0.1 * 0.5, rel=1e-3)
    assert trained("fp16") == pytest.approx((norm, moved), rel=0.01)
    overflow, moved = trained("fp16", scale=2.0**100)
    assert not np.isfinite(overflow)
    assert moved == 0


def test_modes_survive_somebody_elses_evaluation() -> None:
    model = BACKEND.backbones.adopt(Net())
    trainer, batch = trainer_of(model), images()
    trainer.freeze(FreezePlan(frozenset({"bn.weight", "bn.bias"})))
    trainer.train_step(batch, StepPlan(0, 0.1))
    model.eval()
    trainer.train_step(batch, StepPlan(1, 0.1))
    assert model.training and model.drop.training and not model.bn.training


def test_nothing_left_to_train_is_an_error() -> None:
    model = backbone("lenet")
    every = frozenset(name for name, _ in model.named_parameters())
    with pytest.raises(SpecError, match="LeNet5"):
        trainer_of(model).freeze(FreezePlan(every))


def test_one_image_is_refused_without_running_statistics_too() -> None:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    model = nn.Sequential(nn.Conv2d(3, 4, 32), norm, nn.Flatten(), nn.Linear(4, 10))
    trainer = trainer_of(model)
    trainer.freeze(FreezePlan())
    with pytest.raises(TrainingError, match=r"BatchNorm layer '1' gets one value"):
        trainer.train_step(images(1), StepPlan(0, 0.1))
    trainer.train_step(images(2), StepPlan(0, 0.1))


def test_momentum_starts_from_zero_though_the_first_gradients_overflow() -> None:
    """PyTorch's fused SGD leaves new buffers as they are in memory where it skips a step."""
    trainers = [
        BACKEND.trainer(backbone("lenet"), TrainingPlan(MOMENTUM, precision="fp16"))
        for _ in range(2)
    ]
    torch.use_deterministic_algorithms(True)  # new memory is NaN
    try:
        trainers[0].precision_policy.load_scaler({"scale": 2.0**120, "growth_tracker": 0.0})
        before = copy.deepcopy(trainers[0].model.state_dict())
        trainers[0].train_step(images(), StepPlan(0, 0.05))
        for name, value in trainers[0].model.state_dict().items():
            assert torch.equal(value, before[name])
        for trainer in trainers:
            trainer.precision_policy.load_scaler({"scale": 128.0, "growth_tracker": 0.0})
            for step in (1, 2):
                trainer.train_step(images(), StepPlan(step, 0.05))
    finally:
        torch.use_deterministic_algorithms(False)
    one, other = (trainer.model.state_dict() for trainer in trainers)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert all(torch.isfinite(value).all() for value in one.values())
