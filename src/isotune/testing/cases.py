"""What is trained on divided batches: a net with BatchNorm and dropout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from isotune.interfaces.communicator import Place
from isotune.interfaces.division import Division
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.head import new_head
from isotune.spec.head import MLPHeadSpec
from isotune.spec.optimizer import AdamWSpec, SGDSpec
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
KINDS = ("model", "optimizer", "average")
"""The states that training comes to."""

HEAD = MLPHeadSpec(name="mlp", hidden=(6,), dropout=0.25)


def learner_with_dropout(subject: Subject, plan: TrainingPlan) -> Learner:
    """Returns ``tiny_bn`` with a head of two layers and dropout between them."""
    return subject.learner_with(new_head(HEAD, 5, 4, 3), plan)


def reference_with_dropout(subject: Subject, plan: TrainingPlan) -> ReferenceTrainer:
    """Returns the reference of that net."""
    reference = subject.reference(plan)
    body = {name: value for name, value in subject.initial().items() if not name.startswith("fc.")}
    state = {**body, **new_head(HEAD, 5, 4, 3).state("fc")}
    reference.state = {name: value.astype(np.float64) for name, value in state.items()}
    reference.net = _layers()
    return reference


def _layers() -> list[Layer]:
    """Returns the net's layers for the reference."""
    body = [Conv("conv", padding=(1, 1)), BatchNorm("bn"), ReLU(), GlobalAveragePool()]
    return [*body, Linear("fc.0"), ReLU("fc.1"), Dropout("fc.2", 0.25), Linear("fc.3")]


def updates(name: str, sizes: list[list[int]], first: int = 0) -> list[Update]:
    """Returns updates by batches of these sizes, whose rates, momenta and averages differ."""
    made, step = [], first
    for number, each in enumerate(sizes, first):
        momentum, decay = (None, 0.95)[number % 2], AVERAGES.decay_at(number)
        data = batches(f"{name}/{number}", each)
        made.append(Update(data, 0.05 * (1 - 0.04 * number), step, momentum, decay))
        step += len(each)
    return made


@dataclass(frozen=True)
class Phase:
    """Updates with the same freeze plan.

    Attributes:
        name: Its name.
        freeze: What is frozen.
        updates: The updates.
    """

    name: str
    freeze: FreezePlan
    updates: Sequence[Update]


@dataclass(frozen=True)
class Case:
    """What processes train together.

    Attributes:
        plan: Its settings.
        alone: Whether process 0 computes all of it by itself.
        freezes: Whether :data:`BACKBONE` is frozen later, in groups of two: to compile steps in
            four processes takes long.
    """

    plan: TrainingPlan
    alone: bool = False
    freezes: bool = False

    def division(self, place: Place) -> Division:
        """Returns how a process divides batches."""
        if self.alone:
            return Division(self.plan.shards)
        return Division(self.plan.shards, place.processes, place.rank)

    def phases(self, place: Place) -> list[Phase]:
        """Returns what a process trains, in order."""
        sizes = [[4], [3], [1], [2]] if self.plan.accumulate == 1 else [[4, 3], [1], [4, 2]]
        phases = [Phase("trained", FreezePlan(), updates("processes", sizes))]
        if self.freezes and place.processes == 2:
            frozen = updates("frozen", [[4]], first=5)
            phases.append(Phase("frozen", FreezePlan(BACKBONE), frozen))
        return phases


# Of four parts, a batch of 3 leaves one empty, and a batch of 1 leaves three.
WHOLE = replace(PLAN, shards=4)
PLAIN = replace(WHOLE, optimizer=AdamWSpec(name="adamw"), accumulate=1, clip_grad_norm=None)
CASES = {
    "alone": Case(WHOLE, alone=True),
    "whole": Case(WHOLE),
    "plain_alone": Case(PLAIN, alone=True, freezes=True),
    "plain": Case(PLAIN, freezes=True),
    "pairs": Case(replace(PLAN, shards=2)),
    "shared": Case(PLAN),
    "fast": Case(replace(WHOLE, reduction="fast"), freezes=True),
    "fast_shared": Case(replace(PLAN, reduction="fast")),
}
"""Cases by name: with fewer shards than processes, several of these share one."""
