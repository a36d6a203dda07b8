"""A side that is here: its model makes training steps, and returns to where it was before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.distributed.group import Group
from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.dataset import Batch, DeviceBatch, Labels, Normalization
from isotune.interfaces.division import Division
from isotune.interfaces.tracer import Tracer
from isotune.interfaces.trainer import StepPlan, Trainer, TrainingPlan
from isotune.training.accumulator import EpochAccumulator, scored
from isotune.training.strategy import fed_parts


@dataclass(frozen=True, eq=False)
class Step:
    """A training step.

    Attributes:
        batch: The whole batch, whoever computes its parts.
        plans: What this process does with each of its parts, in order: one plan without a part if
            the batch is not divided.
    """

    batch: Batch
    plans: tuple[StepPlan, ...]

    @property
    def number(self) -> int:
        """Its number in the run, from 0."""
        return self.plans[0].step

    @property
    def updates(self) -> bool:
        """Whether an update follows it."""
        return self.plans[-1].apply_update

    def parts(self) -> list[Batch]:
        """Returns this process's parts of the batch, a black image for an empty one."""
        images, labels = self.batch.images, self.batch.labels
        parts = []
        for plan in self.plans:
            rows = slice(None) if plan.part is None else slice(plan.part.start, plan.part.stop)
            if len(labels[rows]):
                parts.append(Batch(images[rows], labels[rows]))
            else:
                parts.append(Batch(np.zeros_like(images[:1]), labels[:1], placeholder=True))
        return parts


def updates_of(steps: Sequence[Step]) -> list[list[Step]]:
    """Returns the steps of each update; those after the last update are left out."""
    updates, current = [], list[Step]()
    for step in steps:
        current.append(step)
        if step.updates:
            updates.append(current)
            current = []
    return updates


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model in training between two updates.

    Attributes:
        model: Its tensors.
        optimizer: The optimizer's state; empty before the first update.
        average: Averages of the tensors; empty before the first step or without any.
    """

    model: State
    optimizer: State
    average: State


@dataclass(frozen=True, eq=False)
class Computed:
    """What all processes have computed of a step.

    Attributes:
        loss: The batch's loss.
        logits: float32, shape (N, outputs).
    """

    loss: float
    logits: NDArray[np.float32]

    def same(self, other: Computed) -> bool:
        """Whether another one is the same, to the bit."""
        same_loss = np.float64(self.loss).tobytes() == np.float64(other.loss).tobytes()
        return same_loss and self.logits.tobytes() == other.logits.tobytes()


Begin = Callable[[Step, StepPlan], None]
"""Is told which part of a step begins."""

Change = Callable[[Step, Sequence[DeviceBatch]], Sequence[DeviceBatch]]
"""Changes the parts of a batch before a step."""


@dataclass(frozen=True)
class LiveSide:
    """A model in training.

    Attributes:
        backend: The backend, open.
        model: The native model.
        trainer: Its trainer, after ``freeze``.
        plan: The trainer's plan.
        normalization: Normalization of the images.
        group: The processes that compute a step together.
    """

    backend: Backend
    model: Any
    trainer: Trainer
    plan: TrainingPlan
    normalization: Normalization
    group: Group = field(default_factory=Group)

    @property
    def tracer(self) -> Tracer:
        """Watches the trainer's steps.

        Raises:
            BackendError: The backend has none.
        """
        if self.backend.tracer is None:
            raise BackendError(
                f"backend '{self.backend.name}' has no tracer: its training steps cannot be"
                " watched, and so not be compared with others."
            )
        return self.backend.tracer

    @property
    def division(self) -> Division:
        """How the processes divide a batch."""
        return self.group.division(self.plan.shards)

    def model_state(self) -> State:
        """Returns copies of all tensors of the model."""
        return self.backend.state_adapter.export_model(self.model)

    def snapshot(self) -> Snapshot:
        """Returns a copy of the present state; only between two updates."""
        state = self.backend.state_adapter
        return Snapshot(
            self.model_state(),
            state.export_optimizer(self.trainer),
            state.export_average(self.trainer),
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Sets the state to that of a snapshot."""
        state = self.backend.state_adapter
        state.import_model(self.model, snapshot.model)
        state.import_optimizer(self.trainer, snapshot.optimizer)
        if self.plan.averages:  # before the first step they are the values
            state.import_average(self.trainer, snapshot.average or snapshot.model)

    def train(
        self, step: Step, begin: Begin | None = None, change: Change | None = None
    ) -> Computed:
        """Makes a training step.

        Args:
            step: The step.
            begin: Is told which part begins.
            change: Changes the parts before the step.
        """
        parts, labels = step.parts(), list[Labels]()
        fed: Sequence[DeviceBatch] = list(fed_parts(parts, labels, self._feed))
        if change is not None:
            fed = change(step, fed)
        outputs = []
        with self.group.in_collective():
            for batch, plan in zip(fed, step.plans, strict=True):
                if begin is not None:
                    begin(step, plan)
                outputs.append(self.trainer.train_step(batch, plan))
            fetched = self.trainer.fetch(outputs)
        full = [
            each.logits for each, part in zip(fetched, parts, strict=True) if not part.placeholder
        ]
        logits = np.concatenate(full) if full else np.zeros((0, 1), np.float32)
        own = scored(fetched, labels, self.plan, len(self.division.own))
        accumulator = EpochAccumulator(1)  # a step's loss is what the loop takes for it
        accumulator.add(np.concatenate(self.group.arrays(own), axis=1))
        assert accumulator.last_loss is not None
        return Computed(accumulator.last_loss, np.concatenate(self.group.arrays(logits)))

    def _feed(self, batches: Any) -> Iterator[DeviceBatch]:
        return self.backend.dataset.feed(batches, self.normalization)
