"""Whole steps on a CUDA device, as far as a CPU can check them.

No tensor is left on another device, and the host never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException

from backends.torch.fake_cuda import CUDA, WaitingError, cuda, never_waiting
from isotune.catalogue.entries import catalogue
from isotune.interfaces.dataset import Batch, Normalization
from isotune.interfaces.division import Part
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import StepPlan, TrainingPlan
from isotune.spec.optimizer import AdamSpec, AdamWSpec, SGDSpec
from isotune_torch.backend import TorchBackend
from isotune_torch.trainer import TorchTrainer

CLASSES, SIDE = 1000, 64
SGD, ADAM = SGDSpec(momentum=0.9), AdamSpec(name="adam")
ADAMW = AdamWSpec(name="adamw", no_decay="norms_and_biases")
WEIGHTS = np.ones(CLASSES, np.float32)
UNIT = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def batches(soft: bool = False, size: int = 8) -> Iterator[Batch]:
    """Yields batches without end."""
    labels: Any = np.zeros((size, CLASSES), np.float32) if soft else np.zeros(size, np.int32)
    while True:
        yield Batch(np.zeros((size, SIDE, SIDE, 3), np.uint8), labels)


def prepared(name: str, plan: TrainingPlan, frozen: str = "") -> tuple[TorchBackend, TorchTrainer]:
    """Returns a trainer on CUDA that has made its first step's preparations."""
    backend = TorchBackend("cuda:0")
    model = backend.backbones.build(catalogue()[name])
    trainer = backend.trainer(model, plan)
    names = [name for name, _ in model.named_parameters()]
    trainer.freeze(FreezePlan(frozenset(n for n in names if frozen and not n.startswith(frozen))))
    return backend, trainer


def check(trainer: TorchTrainer) -> None:
    """Checks that everything that a step leaves behind is on the device."""
    slots = [value for slots in trainer.slots().values() for value in slots.values()]
    assert slots or isinstance(trainer.plan.optimizer, SGDSpec)
    for tensor in (*trainer.model.parameters(), *trainer.model.buffers(), *slots):
        assert tensor.device == CUDA


CASES: dict[str, tuple[str, TrainingPlan]] = {
    "fp32": ("resnet18", TrainingPlan(SGD)),
    "tf32": ("resnet18", TrainingPlan(ADAM, precision="tf32")),
    "bf16": ("mobilenet_v2", TrainingPlan(SGD, precision="bf16", label_smoothing=0.1)),
    "fp16": ("resnet18", TrainingPlan(SGD, precision="fp16")),
    "fp16, AdamW, clipped": (
        "mobilenet_v2",
        TrainingPlan(ADAMW, precision="fp16", clip_grad_norm=1.0),
    ),
    "clipped": ("resnet18", TrainingPlan(SGD, clip_grad_norm=1.0, class_weights=WEIGHTS)),
    "averages": ("mobilenet_v2", TrainingPlan(ADAM, averages=True)),
    "accumulated": ("resnet18", TrainingPlan(SGD, accumulate=2, precision="fp16")),
    "sigmoids": ("resnet18", TrainingPlan(SGD, "binary_cross_entropy", class_weights=WEIGHTS)),
    "mixed": ("resnet18", TrainingPlan(SGD, class_weights=WEIGHTS, label_smoothing=0.1)),
    "sigmoids, mixed": (
        "resnet18",
        TrainingPlan(SGD, "binary_cross_entropy", class_weights=WEIGHTS),
    ),
    "several labels, mixed": (
        "resnet18",
        TrainingPlan(SGD, "binary_cross_entropy", class_weights=WEIGHTS, multi_label=True),
    ),
    "auxiliary": (
        "googlenet",
        TrainingPlan(SGD, auxiliary=("aux1", "aux2"), auxiliary_weight=0.3),
    ),
    "transformer": ("swin_t", TrainingPlan(ADAMW, precision="bf16")),
    "stochastic depth": ("efficientnet_b0", TrainingPlan(ADAMW, averages=True)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_never_waits(case: str) -> None:
    name, plan = CASES[case]
    soft = "mixed" in case
    decay = 0.9 if plan.averages else None
    with cuda():
        backend, trainer = prepared(name, plan)
        feed = backend.dataset.feed(batches(soft), UNIT)
        trainer.train_step(next(feed), StepPlan(0, 0.1, average_decay=decay))
        with never_waiting() as watch:
            for step in (1, 2):
                update = plan.accumulate == 1 or step % 2 == 0
                plan_of_step = StepPlan(
                    step, 0.1, 1 / plan.accumulate, update, average_decay=decay if update else None
                )
                outputs = trainer.train_step(next(feed), plan_of_step)
            evaluated = trainer.eval_step(next(feed))
        check(trainer)
        assert {outputs.logits.device, outputs.loss.device, evaluated.logits.device} == {CUDA}
        assert (outputs.grad_norm is not None) == (plan.clip_grad_norm is not None)
    half = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert ("_to_copy" in watch.operators) or half[plan.precision] is None
    assert "convolution_backward" in watch.operators


@pytest.mark.parametrize("reduction", ["exact", "fast"])
def test_a_step_of_shards_never_waits(reduction: Any) -> None:
    plan = TrainingPlan(SGD, shards=2, reduction=reduction, accumulate=2, clip_grad_norm=1.0)
    with cuda():
        backend, trainer = prepared("resnet18", plan)
        feed = backend.dataset.feed(batches(size=4), UNIT)

        def step(number: int) -> None:
            for shard in range(2):
                part = Part(shard, 4 * shard, 4 * shard + 4, shard, 0, (4, 4), shard == 1)
                update = shard == 1 and number % 2 == 1
                trainer.train_step(next(feed), StepPlan(number, 0.1, 0.25, update, part=part))

        step(0)
        step(1)
        with never_waiting():
            step(2)
            step(3)
        check(trainer)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_frozen_prefix_takes_no_gradients(precision: Any) -> None:
    with cuda():
        backend, trainer = prepared("resnet18", TrainingPlan(SGD, precision=precision), "fc.")
        feed = backend.dataset.feed(batches(), UNIT)
        trainer.train_step(next(feed), StepPlan(0, 0.1))
        with never_waiting() as watch:
            trainer.train_step(next(feed), StepPlan(1, 0.1))
            trainer.eval_step(next(feed))
        check(trainer)
    assert "convolution" in watch.operators
    assert "convolution_backward" not in watch.operators


def test_convolutions_of_tensor_cores_get_channels_last() -> None:
    with cuda():
        backend, trainer = prepared("resnet18", TrainingPlan(SGD, precision="bf16"))
        tensors = [module.weight for module in trainer.model.modules() if is_convolution(module)]
        feed = backend.dataset.feed(batches(), UNIT)
        seen = []
        trainer.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        trainer.train_step(next(feed), StepPlan(0, 0.1))
        tensors += seen
        assert len(tensors) == 21
        assert all(each.is_contiguous(memory_format=torch.channels_last) for each in tensors)


def is_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d)


WAITS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "item": lambda on, off: on.sum().item(),
    "bool": lambda on, off: bool(on.sum() > 0),
    "nonzero": lambda on, off: on.nonzero(),
    "mask": lambda on, off: on[on > 0],
    "cpu": lambda on, off: on.cpu(),
    "to cpu": lambda on, off: on.to("cpu", non_blocking=True),
    "from memory that is not pinned": lambda on, off: off.to(CUDA, non_blocking=True),
    "from pinned memory": lambda on, off: off.pin_memory().to(CUDA),
    "copy_": lambda on, off: on.copy_(off),
    "numbers": lambda on, off: torch.tensor([1.0], device=CUDA),
    "number of classes": lambda on, off: nn.functional.one_hot(on.long()),
}


@pytest.mark.parametrize("how", WAITS)
def test_waiting_is_noticed(how: str) -> None:
    with cuda():
        on, off = torch.zeros(3, device=CUDA), torch.zeros(3)
        with pytest.raises((WaitingError, DataDependentOutputException)), never_waiting():
            WAITS[how](on, off)
        with never_waiting():
            assert off.pin_memory().to(CUDA, non_blocking=True).device == CUDA


def test_another_device_is_noticed() -> None:
    with cuda(), pytest.raises(RuntimeError, match="device"):
        torch.zeros(3, device=CUDA) + torch.zeros(3)
    with cuda():
        backend, trainer = prepared("resnet18", TrainingPlan(SGD))
        trainer.model.fc.weight = nn.Parameter(torch.zeros(CLASSES, 512))
        batch = next(iter(backend.dataset.feed(batches(), UNIT)))
        with pytest.raises(RuntimeError, match="device"):
            trainer.train_step(batch, StepPlan(0, 0.1))
