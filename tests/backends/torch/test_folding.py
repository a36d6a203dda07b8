"""Convolutions that compute frozen BatchNorm, beside the model as it is."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import AdamWSpec, OptimizerSpec, SGDSpec
from isotune_torch.folding import FoldedConvolution, FoldedModel, foldable
from isotune_torch.trainer import TorchTrainer

CPU = torch.device("cpu")
IMAGES = torch.linspace(-2, 2, 4 * 3 * 64 * 64).view(4, 3, 64, 64).sin()
BATCH = DeviceBatch(IMAGES, torch.tensor([0, 1, 2, 3]), 4)


def model(name: str = "mobilenet_v3_small") -> nn.Module:
    """Returns a model whose BatchNorm layers do something."""
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built: nn.Module = models.get_model(name, num_classes=5, **options).eval()
        for layer in built.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for value in (layer.running_var, layer.running_mean, layer.weight, layer.bias):
                    value.data.uniform_(0.5, 1.5)
    return built


def trainer(net: nn.Module, optimizer: OptimizerSpec | None = None) -> TorchTrainer:
    """Returns a trainer with averages."""
    return TorchTrainer(net, TrainingPlan(optimizer or SGDSpec(), averages=True), CPU)


def backbone(net: nn.Module) -> frozenset[str]:
    """Returns the names of all parameters before the last layer."""
    return frozenset([name for name, _ in net.named_parameters()][:-2])


def assert_close(actual: Tensor, expected: Tensor) -> None:
    """Checks the bound: 1e-5 of the largest element."""
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("resnet18", 20),
        ("mobilenet_v3_small", 34),
        ("shufflenet_v2_x0_5", 56),
        ("googlenet", 57),
        ("densenet121", 59),
    ],
)
def test_folded_models_compute_the_same(name: str, folded: int) -> None:
    """All BatchNorm layers that follow a convolution are folded, in DenseNet only those."""
    net, seen = model(name), []
    layer = FoldedConvolution.forward

    def forward(self: FoldedConvolution, x: Tensor) -> Tensor:
        seen.append(self)
        return layer(self, x)

    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(FoldedConvolution, "forward", forward)
        assert_close(FoldedModel(net)(IMAGES), net(IMAGES))
    assert len(set(seen)) == folded


@pytest.mark.parametrize("optimizer", [SGDSpec(momentum=0.9), AdamWSpec(name="adamw")])
def test_evaluation_follows_every_change_of_the_weights(optimizer: OptimizerSpec) -> None:
    """Training steps of all or some layers, averages, and values that are copied."""
    net = model()
    ours = trainer(net, optimizer)

    def check() -> Tensor:
        logits: Tensor = ours.eval_step(BATCH).logits
        with torch.inference_mode():
            assert_close(logits, net.eval()(IMAGES))
        return logits

    before, seen = {name: v.clone() for name, v in net.state_dict().items()}, [check()]
    norms = [path for path, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    kept = frozenset(f"{path}.{name}" for path in norms for name in ("weight", "bias"))
    plans = [FreezePlan(), FreezePlan(backbone(net), "train"), FreezePlan(kept)]
    for step, plan in enumerate(plans):
        ours.freeze(plan)
        ours.train_step(BATCH, StepPlan(step, 0.05, average_decay=0.5))
        seen.append(check())
    ours.swap_average()
    seen.append(check())
    net.load_state_dict(before)
    assert torch.equal(check(), seen[0])
    assert not any(torch.equal(a, b) for a, b in pairwise(seen))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
def test_a_frozen_backbone_is_folded_in_training(name: str) -> None:
    """Logits and gradients are those of the model itself, and what trains is the model's own."""
    net = model(name)
    ours, plan = trainer(net), FreezePlan(backbone(net))
    other = copy.deepcopy(net)
    theirs = trainer(other)
    theirs._forward = other
    for each in (ours, theirs):
        each.freeze(plan)
    steps = [each.train_step(BATCH, StepPlan(0, 0.1)) for each in (ours, theirs)]
    assert_close(steps[0].logits, steps[1].logits)
    expected_state = other.state_dict()
    for key, value in net.state_dict().items():
        expected = expected_state[key]
        if key in plan.frozen:
            assert torch.equal(value, expected)
        else:
            assert_close(value, expected)


def test_hooks_run() -> None:
    """A layer with a hook is called, though it would be folded."""
    net, calls = models.resnet18().eval(), []
    folded = FoldedModel(net)
    with torch.inference_mode():
        folded(IMAGES)
        for layer in (net.layer1, net.layer2[0].bn1, net.layer3[0].conv1):
            handle = layer.register_forward_hook(lambda *_: calls.append(1))
            expected = folded(IMAGES)
            handle.remove()
            assert_close(folded(IMAGES), expected)
    assert len(calls) == 3


def test_another_classifier_is_used() -> None:
    """A module that takes another's place in the model does so in its copy."""
    net = model()
    folded = FoldedModel(net)
    with torch.inference_mode():
        assert folded(IMAGES).shape == (4, 5)
        net.classifier[3] = nn.Linear(1024, 2)
        assert_close(folded(IMAGES), net(IMAGES))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_broken_weights_are_seen(name: str) -> None:
    """NaN in a layer comes out as NaN, where ReLU and ReLU6 within oneDNN would hide it."""
    net = model(name)
    convolutions = [each for each in net.modules() if isinstance(each, nn.Conv2d)]
    with torch.no_grad():
        convolutions[-3].weight[0] = np.nan
    with torch.inference_mode():
        assert FoldedModel(net)(IMAGES).isnan().all()


def test_only_known_models_are_folded() -> None:
    """Somebody else's code may use what a convolution returns a second time."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert not foldable(net, CPU)
    assert not foldable(models.squeezenet1_1(), CPU)
    assert not foldable(models.resnet18(), torch.device("meta"))
