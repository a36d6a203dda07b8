"""A backend with a net, and what the tests do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State
from isotune.interfaces.dataset import Batch
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues
from isotune.interfaces.trainer import HostOutputs, StepPlan, Trainer, TrainingPlan
from isotune.spec.ema import EmaSpec
from isotune.spec.optimizer import SGDSpec
from isotune.testing.nets import NETS
from isotune.testing.reference.trainer import ReferenceTrainer
from isotune.testing.values import NORMALIZATION, batch, state

TOLERANCE = 1e-5
"""How far weights, losses and first logits may be from the float64 reference, absolute for
values below 1 and relative above."""

AVERAGES = EmaSpec(decay=0.5)
"""Averages whose warm-up ends after eight updates."""

LATER_LOGITS = 1e-4
"""The same for logits after updates: sums of hundreds of products with such weights."""


@dataclass
class Learner:
    """A native model with its trainer."""

    backend: Backend
    model: Any
    trainer: Trainer

    def train(
        self,
        batches: Sequence[Batch],
        rates: Sequence[float],
        first: int = 0,
        momenta: Sequence[float | None] | None = None,
        averages: bool = False,
    ) -> list[HostOutputs]:
        """Makes one step a batch, numbered from `first`, and fetches all outputs at the end."""
        plans = step_plans(rates, first, momenta, averages)
        fed = self.backend.dataset.feed(batches, NORMALIZATION)
        steps = [self.trainer.train_step(*each) for each in zip(fed, plans, strict=True)]
        return self.trainer.fetch(steps)

    def evaluate(self, *batches: Batch) -> NDArray[np.float32]:
        """Returns the logits of all batches."""
        fed = self.backend.dataset.feed(batches, NORMALIZATION)
        outputs = self.trainer.fetch([self.trainer.eval_step(batch) for batch in fed])
        return np.concatenate([output.logits for output in outputs])

    def evaluate_average(self, *batches: Batch) -> NDArray[np.float32]:
        """Returns the logits that the averages give."""
        self.trainer.swap_average()
        logits = self.evaluate(*batches)
        self.trainer.swap_average()
        return logits

    def state(self) -> State:
        """Returns the model's state."""
        return self.backend.state_adapter.export_model(self.model)

    def optimizer_state(self) -> State:
        """Returns the optimizer's state."""
        return self.backend.state_adapter.export_optimizer(self.trainer)

    def average(self) -> State:
        """Returns the averages of all tensors of the model."""
        return {**self.state(), **self.backend.state_adapter.export_average(self.trainer)}


@dataclass(frozen=True, eq=False)
class Subject:
    """One net on one backend.

    Attributes:
        backend: The backend under test.
        entry: What the catalogue says of the net.
        model: Builds the native model on the device.
        images: Images that the net takes, with labels.
    """

    backend: Backend
    entry: BackboneEntry
    model: Callable[[], Any]
    images: Batch = field(default_factory=lambda: batch("subject", 4))

    def initial(self) -> dict[str, NDArray[np.float32]]:
        """Returns a state for a net of the contract."""
        return state(NETS[self.entry.name].shapes)

    def learner(
        self, plan: TrainingPlan | None = None, freeze: FreezePlan | None = None
    ) -> Learner:
        """Returns a new model in its initial state, with a trainer."""
        model = self.model()
        self.backend.state_adapter.import_model(model, self.initial())
        return self.learner_of(model, plan, freeze)

    def learner_with(self, head: HeadValues, plan: TrainingPlan) -> Learner:
        """Returns the net with a new head; everything else is in its initial state."""
        path, model = self.entry.classifier, self.model()
        self.backend.heads.replace(model, path, head)
        kept = {k: v for k, v in self.initial().items() if not k.startswith(f"{path}.")}
        self.backend.state_adapter.import_model(model, {**kept, **head.state(path)})
        return self.learner_of(model, plan)

    def learner_of(
        self, model: Any, plan: TrainingPlan | None = None, freeze: FreezePlan | None = None
    ) -> Learner:
        """Returns a native model as it is, with a trainer."""
        trainer = self.backend.trainer(model, plan or TrainingPlan(SGDSpec()))
        trainer.freeze(freeze or FreezePlan())
        return Learner(self.backend, model, trainer)

    def reference(
        self, plan: TrainingPlan | None = None, freeze: FreezePlan | None = None
    ) -> ReferenceTrainer:
        """Returns the reference in the same initial state."""
        net = NETS[self.entry.name].layers()
        plan = plan or TrainingPlan(SGDSpec())
        trainer = ReferenceTrainer(net, self.initial(), plan, NORMALIZATION)
        trainer.freeze(freeze or FreezePlan())
        return trainer


def step_plans(
    rates: Sequence[float],
    first: int,
    momenta: Sequence[float | None] | None = None,
    averages: bool = False,
) -> list[StepPlan]:
    """Returns the plans of steps that each end in an update, numbered from `first`.

    With averages, their decay is that of :data:`AVERAGES`.
    """
    return [
        StepPlan(
            step,
            rate,
            momentum=None if momenta is None else momenta[step - first],
            average_decay=AVERAGES.decay_at(step) if averages else None,
        )
        for step, rate in enumerate(rates, first)
    ]


def assert_close(actual: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    """Compares arrays, absolutely below 1 and relatively above."""
    assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def assert_states_close(actual: State, expected: Mapping[str, NDArray[Any]]) -> None:
    """Compares names, dtypes and values of two states."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == np.float32
        assert_allclose(actual[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)


def in_bytes(state: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Returns what tells two states apart, bit for bit."""
    return {name: (str(v.dtype), v.shape, v.tobytes()) for name, v in sorted(state.items())}
