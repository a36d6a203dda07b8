"""The loop, with a trainer that only writes down what it is asked to do."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.errors import StoppedError, TrainingError
from isotune.interfaces.checkpoint import State
from isotune.interfaces.dataset import (
    Batch,
    DatasetAdapter,
    DeviceBatch,
    FeatureBatch,
    Normalization,
)
from isotune.interfaces.division import UNDIVIDED, Division
from isotune.interfaces.events import EpochEnded, StepEnded
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.trainer import HostOutputs, Outputs, StepPlan, Trainer, TrainingPlan
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec
from isotune.spec.optimizer import SGDSpec
from isotune.training.evaluation import FETCH_EVERY
from isotune.training.learner import Learner
from isotune.training.loop import TrainingLoop
from isotune.training.progress import Progress
from isotune.training.saver import Saver
from isotune.training.session import Session
from isotune.training.strategy import WholeModel
from numpy_backend.backend import NumpyBackend
from numpy_backend.checkpoint import NumpyStateAdapter
from numpy_backend.plugin import LINEAR
from tiny import experiment

NORMALIZATION = {"mean": [0, 0, 0], "std": [1, 1, 1]}


class EagerDataset(DatasetAdapter):
    """Takes all batches before it hands out the first, as a prefetching feed may."""

    def feed(self, batches: Iterable[Batch], normalization: Normalization) -> Iterator[DeviceBatch]:
        for batch in list(batches):
            yield DeviceBatch(batch.images, batch.labels, len(batch))

    def feed_features(self, batches: Iterable[FeatureBatch]) -> Iterator[DeviceBatch]:
        raise NotImplementedError


@dataclass
class FakeTrainer(Trainer):
    """Predicts class `answer`, with the losses that it is given, one a step.

    The model has the only parameter `a`, of the value that is given.
    """

    losses: Sequence[float]
    answer: int = 0
    logit: float = 1.0
    parameter: float = 0.0
    plans: list[FreezePlan] = field(default_factory=list)
    steps: list[StepPlan] = field(default_factory=list)
    fetched: list[int] = field(default_factory=list)
    averaged: bool = False

    def freeze(self, plan: FreezePlan) -> None:
        self.plans.append(plan)

    def train_step(self, batch: DeviceBatch, plan: StepPlan) -> Outputs:
        assert not self.averaged
        self.steps.append(plan)
        return Outputs(self._logits(batch), self.losses[plan.step % len(self.losses)])

    def eval_step(self, batch: DeviceBatch) -> Outputs:
        assert self.averaged
        return Outputs(self._logits(batch))

    def swap_average(self) -> None:
        self.averaged = not self.averaged

    def fetch(self, outputs: Sequence[Outputs]) -> list[HostOutputs]:
        self.fetched.append(len(outputs))
        return [HostOutputs(o.logits, math.nan if o.loss is None else o.loss) for o in outputs]

    def _logits(self, batch: DeviceBatch) -> Any:
        logits = np.zeros((batch.size, 3), np.float32)
        logits[:, self.answer] = self.logit
        return logits


class FakeBatches:
    """Batches of given labels, the same in every epoch."""

    def __init__(self, *labels: Sequence[int]) -> None:
        self.groups = [np.array(group, np.int32) for group in labels]

    def __len__(self) -> int:
        return len(self.groups)

    def labels(self, epoch: int) -> list[NDArray[np.int32]]:
        return self.groups

    @property
    def sizes(self) -> list[int]:
        return [len(group) for group in self.groups]

    def epoch(
        self, epoch: int, start_batch: int = 0, *, division: Division = UNDIVIDED
    ) -> Iterator[Batch]:
        for labels in self.groups[start_batch:]:
            yield Batch(np.zeros((len(labels), 8, 8, 3), np.uint8), labels)


@dataclass
class FakeState(NumpyStateAdapter):
    trainer: FakeTrainer

    def export_model(self, model: Any) -> State:
        return {"a": np.full(2, self.trainer.parameter, np.float32)}


class FakeBackend(NumpyBackend):
    def __init__(self, trainer: FakeTrainer) -> None:
        super().__init__("cpu")
        self.dataset = EagerDataset()
        self.state_adapter = FakeState(trainer)
        self._trainer = trainer

    def trainer(self, model: Any, plan: TrainingPlan) -> FakeTrainer:
        return self._trainer


@dataclass
class FakeImages:
    """Validation is always of two batches."""

    train: FakeBatches
    check = None

    def training_batches(self, spec: ExperimentSpec) -> FakeBatches:
        return self.train

    def validation_batches(self, spec: ExperimentSpec, size: int) -> FakeBatches:
        return FakeBatches([0, 0, 1], [2])


@dataclass
class FakeSaver(Saver):
    """Keeps what it is asked for: metrics of what it saved, and epochs that it began or are best.

    Attributes:
        within: Metrics of what it saved within an epoch.
    """

    saved: list[EpochMetrics] = field(default_factory=list)
    within: list[EpochMetrics] = field(default_factory=list)
    best: list[int] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        """After how many steps it saved."""
        return [metrics.steps for metrics in self.saved]

    def begin(self, epoch: int) -> None:
        self.begun.append(epoch)

    def save(self, progress: Progress, metrics: EpochMetrics, is_best: bool) -> None:
        self.saved.append(metrics)
        self.within += [metrics] if progress.accumulator else []
        self.best += [metrics.epoch] if is_best else []

    def check(self) -> None:
        pass

    def wait(self) -> None:
        pass


def make_loop(trainer: FakeTrainer, train: FakeBatches, **changes: Any) -> TrainingLoop:
    spec = load_spec(experiment(Path("images"), normalization=NORMALIZATION, **changes))
    backend = FakeBackend(trainer)
    session = Session(spec, LINEAR, backend, FakeImages(train), TrainingPlan(SGDSpec()))  # type: ignore[arg-type]

    def whole_model() -> WholeModel:
        return WholeModel(session, None)

    return TrainingLoop(
        spec=spec,
        learner=Learner(backend, lambda plan: whole_model),
        plan=TrainingPlan(SGDSpec()),
        train=train,  # type: ignore[arg-type]
        freezing=lambda epoch: FreezePlan(frozenset({"a"} if epoch < 3 else ())),
        notify=lambda hook, event: None,
        log=lambda metrics: None,
        saver=FakeSaver(),
    )


def test_a_short_last_batch_counts_by_its_samples() -> None:
    trainer = FakeTrainer([1.0, 2.0, 6.0])
    loop = make_loop(trainer, FakeBatches([0, 0, 1, 2], [0, 1, 1, 1], [0]), epochs=1)
    metrics = loop.run()
    assert metrics.train_loss == pytest.approx((4 * 1 + 4 * 2 + 1 * 6) / 9)
    assert metrics.train_accuracy == pytest.approx(4 / 9)
    assert metrics.val_accuracy == pytest.approx(2 / 4)
    total = math.e + 2
    assert metrics.val_loss == pytest.approx(
        -(2 * math.log(math.e / total) - 2 * math.log(total)) / 4
    )


def test_the_device_is_waited_for_every_so_many_steps() -> None:
    trainer = FakeTrainer([1.0])
    make_loop(trainer, FakeBatches(*[[0]] * 40), epochs=2).run()
    fetches = len(trainer.fetched) - 2  # of two validations
    assert fetches <= 2 * (math.ceil(40 / FETCH_EVERY) + 1)
    assert sum(trainer.fetched) == 2 * (40 + 2)


def test_steps_and_rates_run_through_the_epochs() -> None:
    trainer = FakeTrainer([1.0])
    schedule = {"name": "step", "every": 1, "gamma": 0.5}
    make_loop(trainer, FakeBatches([0], [1]), epochs=3, schedule=schedule).run()
    assert [plan.step for plan in trainer.steps] == list(range(6))
    rates = [plan.learning_rate for plan in trainer.steps]
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025])


def test_a_schedule_gets_the_history_and_decides_the_momentum() -> None:
    """The loss that the fake trainer validates with never changes: each epoch is a plateau."""
    trainer = FakeTrainer([1.0])
    plateau = {"name": "reduce_on_plateau", "factor": 0.5, "patience": 0}
    make_loop(trainer, FakeBatches([0], [1]), epochs=4, schedule=plateau).run()
    rates = [plan.learning_rate for plan in trainer.steps]
    assert rates == pytest.approx([0.01] * 4 + [0.005] * 2 + [0.0025] * 2)
    assert {plan.momentum for plan in trainer.steps} == {None}
    trainer = FakeTrainer([1.0])
    make_loop(trainer, FakeBatches([0], [1]), epochs=5, schedule="one_cycle").run()
    momenta = [plan.momentum for plan in trainer.steps]
    assert momenta[:3] == pytest.approx([0.95, 0.9, 0.85])
    assert momenta[-1] == pytest.approx(0.95)


def test_batches_join_in_updates_within_an_epoch_and_checkpoints_wait_for_them() -> None:
    trainer = FakeTrainer([1.0])
    changes = {"epochs": 2, "accumulate": 3, "checkpoint": {"every_steps": 2}, "ema": {}}
    loop = make_loop(
        trainer, FakeBatches([0], [1], [2, 2], [0], [1, 1, 1]), schedule="cosine", **changes
    )
    saver = FakeSaver()
    loop.saver = saver
    loop.run()
    scales = [plan.loss_scale for plan in trainer.steps]
    assert scales == pytest.approx([1 / 4, 1 / 4, 1 / 2, 1 / 4, 3 / 4] * 2)
    updates = [plan.apply_update for plan in trainer.steps]
    assert updates == [False, False, True, False, True] * 2
    assert saver.steps == [3, 5, 8, 10]
    rates = [plan.learning_rate for plan in trainer.steps]
    assert [rates.index(rate) for rate in rates] == [0, 0, 0, 3, 3, 5, 5, 5, 8, 8]
    assert [plan.step for plan in trainer.steps] == list(range(10))
    decays = [plan.average_decay for plan in trainer.steps if plan.apply_update]
    assert decays == [1 / 10, 2 / 11, 3 / 12, 4 / 13]
    assert {plan.average_decay for plan in trainer.steps if not plan.apply_update} == {None}


def test_an_evaluation_that_fails_leaves_the_weights_in_their_place() -> None:
    trainer = FakeTrainer([1.0])
    loop = make_loop(trainer, FakeBatches([0]))

    class Broken(Exception):
        pass

    def fetch(outputs: Sequence[Outputs]) -> list[HostOutputs]:
        if trainer.averaged:
            raise Broken
        return FakeTrainer.fetch(trainer, outputs)

    trainer.fetch = fetch  # type: ignore[method-assign]
    with pytest.raises(Broken):
        loop.run()
    assert not trainer.averaged


def test_freezing_happens_when_the_plan_changes() -> None:
    trainer = FakeTrainer([1.0])
    make_loop(trainer, FakeBatches([0]), epochs=4).run()
    assert trainer.plans == [FreezePlan(frozenset({"a"})), FreezePlan()]


def test_early_stopping_ends_the_run() -> None:
    loop = make_loop(FakeTrainer([1.0]), FakeBatches([0]), epochs=9, early_stopping={"patience": 2})
    assert loop.run().epoch == 1
    assert len(loop.history) == 3


def test_epochs_are_evaluated_from_the_start_on_at_intervals_and_at_the_end() -> None:
    trainer = FakeTrainer([1.0])
    evaluation = {"every": 2, "start": 3}
    loop = make_loop(trainer, FakeBatches([0]), epochs=8, evaluation=evaluation)
    saver = FakeSaver()
    loop.saver = saver
    assert loop.run().epoch == 3
    assert [m.epoch for m in loop.history if m.evaluated] == [3, 5, 7, 8]
    assert trainer.fetched.count(2) == 4  # the validation's two batches
    assert saver.steps == list(range(1, 9))
    assert saver.best == [3]
    unseen = loop.history[0].as_json()
    assert (unseen["val_loss"], unseen["val_accuracy"], unseen["val_seconds"]) == (None, None, 0.0)
    assert EpochMetrics.from_json(unseen).as_json() == unseen


@pytest.mark.parametrize(
    ("checkpoint", "saved"),
    [
        ({}, [(1, 2), (2, 4), (3, 6)]),
        ({"every_epochs": 2}, [(1, 2), (2, 4), (3, 6)]),
        ({"every_epochs": None}, [(1, 2), (3, 6)]),
        ({"every_epochs": None, "every_steps": 2}, [(1, 2), (2, 4), (3, 6)]),
        ({"every_epochs": None, "every_steps": 3}, [(1, 2), (2, 3), (3, 6)]),
        ({"every_minutes": 1}, [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6)]),
        ({"every_minutes": 1.5}, [(1, 2), (2, 4), (3, 6)]),
        ({"every_epochs": None, "every_minutes": 3}, [(1, 2), (3, 5), (3, 6)]),
    ],
)
def test_checkpoints_come_by_epochs_steps_and_minutes(
    checkpoint: dict[str, Any], saved: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best epoch is the first of three; a step takes a minute."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    trainer = FakeTrainer([1.0])
    loop = make_loop(trainer, FakeBatches([0], [1]), epochs=3, checkpoint=checkpoint)
    loop.notify = lambda hook, event: clock.append(clock.pop() + 60 * isinstance(event, StepEnded))
    saver = FakeSaver()
    loop.saver = saver
    loop.run()
    assert [(metrics.epoch, metrics.steps) for metrics in saver.saved] == saved


def test_early_stopping_counts_evaluated_epochs() -> None:
    stopping = {"evaluation": {"every": 3}, "early_stopping": {"patience": 2}}
    loop = make_loop(FakeTrainer([1.0]), FakeBatches([0]), epochs=30, **stopping)
    assert loop.run().epoch == 1
    assert [m.epoch for m in loop.history if m.evaluated] == [1, 4, 7]
    assert len(loop.history) == 7


def test_every_so_many_steps_of_the_run_the_figures_so_far_are_saved() -> None:
    trainer = FakeTrainer([1.0, 2.0, 3.0, 6.0])
    changes = {"epochs": 2, "checkpoint": {"every_steps": 3}}
    loop = make_loop(trainer, FakeBatches([0, 0], [1], [0], [1]), **changes)
    saver = FakeSaver()
    loop.saver = saver
    loop.run()
    saved = saver.within
    assert [(m.epoch, m.steps) for m in saved] == [(1, 3), (2, 6)]
    assert saved[0].train_loss == pytest.approx((2 * 1 + 2 + 3) / 4)
    assert saved[1].train_loss == pytest.approx((2 * 1 + 2) / 3)
    assert saved[0].train_accuracy == pytest.approx(3 / 4)
    assert not saved[0].evaluated
    # The first step, those that save and an epoch's last wait for the device; no others do.
    assert trainer.fetched == [1, 2, 1, 2, 2, 2, 2]
    assert loop.history[0].train_loss == pytest.approx((2 * 1 + 2 + 3 + 6) / 5)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_training_loss_that_is_no_number_ends_the_run(loss: float) -> None:
    loop = make_loop(FakeTrainer([1.0, 1.0, 1.0, loss]), FakeBatches([0], [0]), epochs=5)
    saved: list[EpochMetrics] = []
    loop.log = saved.append
    with pytest.raises(TrainingError, match=r"training loss became \w+ in epoch 2, .*optimizer.lr"):
        loop.run()
    assert [metrics.epoch for metrics in saved] == [1]


def test_a_first_loss_that_is_no_number_is_not_the_learning_rates_fault() -> None:
    loop = make_loop(FakeTrainer([math.nan]), FakeBatches([0], [0]))
    with pytest.raises(
        TrainingError, match=r"at the first step, before any update: the weights .*not optimizer.lr"
    ):
        loop.run()


def test_a_state_that_is_not_finite_ends_the_run_though_the_loss_is() -> None:
    trainer = FakeTrainer([1.0])
    loop = make_loop(trainer, FakeBatches([0], [0]), epochs=5)
    saved: list[EpochMetrics] = []
    loop.log = saved.append

    def notify(hook: str, event: object) -> None:
        if len(trainer.steps) == 3:
            trainer.parameter = math.inf

    loop.notify = notify
    says = r"^'a' has values that are not finite .* in epoch 2; a smaller optimizer.lr usually"
    with pytest.raises(TrainingError, match=says):
        loop.run()
    assert [metrics.epoch for metrics in saved] == [1]
    trainer = FakeTrainer([1.0, math.nan], parameter=math.nan)
    says = r"the training loss became nan in epoch 1, and 'a' has values that are not finite"
    with pytest.raises(TrainingError, match=says):
        make_loop(trainer, FakeBatches([0], [0])).run()


@pytest.mark.filterwarnings("error")
def test_a_validation_loss_that_is_no_number_ends_the_run() -> None:
    loop = make_loop(FakeTrainer([1.0], logit=math.inf), FakeBatches([0]))
    with pytest.raises(TrainingError, match=r"validation loss became nan in epoch 1, "):
        loop.run()


def test_observers_are_told_of_every_step_with_the_newest_loss_known() -> None:
    loop = make_loop(FakeTrainer([1.0, 2.0, 3.0]), FakeBatches([0], [0], [0]), epochs=1)
    told: list[tuple[str, object]] = []
    loop.notify = lambda hook, event: told.append((hook, event))
    loop.run()
    assert [hook for hook, _ in told] == ["isotune_step_ended"] * 3 + ["isotune_epoch_ended"]
    assert [event for _, event in told[:3]] == [
        StepEnded(1, 1, None),
        StepEnded(1, 2, 1.0, loss_step=1),
        StepEnded(1, 3, 1.0, loss_step=1),
    ]
    (_, ended) = told[3]
    assert isinstance(ended, EpochEnded)
    assert (ended.loss, ended.metrics.steps) == (3.0, 3)


@pytest.mark.parametrize(
    ("hook", "number", "where"),
    [
        ("isotune_step_ended", 2, "after step 2, in epoch 1 of 9"),
        ("isotune_step_ended", 3, "after step 3, in epoch 1 of 9"),
        ("isotune_epoch_ended", 2, "after step 6, in epoch 2 of 9"),
    ],
)
def test_an_observer_stops_the_run_which_is_saved_at_that_point(
    hook: str, number: int, where: str
) -> None:
    checkpoint = {"every_epochs": None}
    loop = make_loop(
        FakeTrainer([1.0]), FakeBatches([0], [0], [0]), epochs=9, checkpoint=checkpoint
    )
    seen: list[Any] = []
    saver = FakeSaver()

    def notify(name: str, event: Any) -> None:
        if name == hook:
            seen.append(event)
            if len(seen) == number:
                event.stop.request("good enough")

    loop.notify = notify
    loop.saver = saver
    with pytest.raises(StoppedError, match=f"stopped by good enough {where}; everything is saved"):
        loop.run()
    assert saver.steps[-1] == int(where.split()[2].strip(","))


def test_states_are_written_during_an_evaluation_if_they_are_saved_whatever_it_says() -> None:
    loop = make_loop(
        FakeTrainer([1.0]),
        FakeBatches([0], [0]),
        epochs=6,
        checkpoint={"every_epochs": 3, "every_steps": 4},
        evaluation={"start": 2, "every": 2},
    )
    saver = FakeSaver()
    loop.saver = saver
    loop.run()
    assert saver.begun == [2, 4, 6]
    assert saver.steps == [4, 6, 8, 12]
