"""What is trained on divided batches: a net with BatchNorm and dropout."""

from __future__ import annotations

import numpy as np

from isotune.interfaces.trainer import TrainingPlan
from isotune.models.head import new_head
from isotune.spec.head import MLPHeadSpec
from isotune.spec.optimizer import SGDSpec
from isotune.testing.divided import Update
from isotune.testing.reference.layers import (
    BatchNorm,
    Conv,
    Dropout,
    GlobalAveragePool,
    Layer,
    Linear,
    ReLU,
)
from isotune.testing.reference.trainer import ReferenceTrainer
from isotune.testing.subject import AVERAGES, Learner, Subject
from isotune.testing.values import batches

WEIGHTS = np.array([0.5, 2.0, 1.25], np.float32)
BACKBONE = frozenset({"conv.weight", "bn.weight", "bn.bias"})
STATISTICS = ("bn.running_mean", "bn.running_var")
PLAN = TrainingPlan(
    SGDSpec(momentum=0.9, weight_decay=0.1),
    label_smoothing=0.1,
    class_weights=WEIGHTS,
    seed=5,
    accumulate=2,
    clip_grad_norm=1.0,
    averages=True,
)
HEAD = MLPHeadSpec(name="mlp", hidden=(6,), dropout=0.25)


def with_dropout_after_batch_norm(
    subject: Subject, plan: TrainingPlan
) -> tuple[Learner, ReferenceTrainer]:
    """Returns ``tiny_bn`` with a head of two layers and dropout between them, and its reference."""
    head = new_head(HEAD, 5, 4, 3)
    learner, reference = subject.learner_with(head, plan), subject.reference(plan)
    state = {**subject.initial(), **head.state("fc")}
    reference.state = {
        name: value.astype(np.float64)
        for name, value in state.items()
        if name not in ("fc.weight", "fc.bias")
    }
    reference.net = _layers()
    return learner, reference


def _layers() -> list[Layer]:
    """Returns the layers of that net for the reference."""
    body = [Conv("conv", padding=(1, 1)), BatchNorm("bn"), ReLU(), GlobalAveragePool()]
    return [*body, Linear("fc.0"), ReLU(), Dropout("fc.2", 0.25), Linear("fc.3")]


def updates(name: str, sizes: list[list[int]], first: int = 0) -> list[Update]:
    """Returns updates by batches of these sizes, whose rates, momenta and averages differ."""
    made, step = [], first
    for number, each in enumerate(sizes, first):
        momentum, decay = (None, 0.95)[number % 2], AVERAGES.decay_at(number)
        data = batches(f"{name}/{number}", each)
        made.append(Update(data, 0.05 * (1 - 0.04 * number), step, momentum, decay))
        step += len(each)
    return made
