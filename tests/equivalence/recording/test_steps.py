"""Recording a model in hand: it ends where it began, and companions see what they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from isotune.equivalence.recording.live import LiveSide, Snapshot, Step
from isotune.equivalence.recording.passes import nudged
from isotune.equivalence.recording.record import first_steps, live_side
from isotune.equivalence.recording.steps import Companion, Recording, record_steps
from isotune.equivalence.recording.watching import StepRecorder
from isotune.equivalence.traces.trace import TracedStep
from isotune.interfaces.checkpoint import digest
from isotune.interfaces.tracer import Array
from isotune.interfaces.trainer import StepPlan
from isotune.spec.load import load_spec
from isotune.spec.values import Precision
from isotune.training.session import Session
from tiny import experiment, make_images

RECORDING = Recording(steps=2, drift=3)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def in_hand(images: Path, **changes: Any) -> tuple[LiveSide, list[Step]]:
    """Returns a model in training, and the steps of its first epoch: 4, 4 and 1 images."""
    spec = load_spec(experiment(images, **changes))
    session = Session.open(spec, "numpy", "cpu", zoo.plugins("numpy"))
    return live_side(session, session.new_model()), first_steps(session, RECORDING)


def content(snapshot: Snapshot) -> list[str]:
    return [digest(each) for each in (snapshot.model, snapshot.optimizer, snapshot.average)]


@pytest.mark.parametrize("trained", [False, True])
def test_a_model_ends_where_it_began(images: Path, trained: bool) -> None:
    optimizer = {"name": "adam", "lr": 0.01}
    live, steps = in_hand(images, optimizer=optimizer, ema={"decay": 0.5})
    if trained:
        first, *steps = steps
        live.train(first)
    before = live.snapshot()
    recorded = record_steps(live, steps, RECORDING)
    assert content(live.snapshot())[:2] == content(before)[:2]
    assert recorded.start == {name: digest({name: v}) for name, v in before.model.items()}
    assert [step.step for step in recorded.steps] == [step.number for step in steps[:2]]
    for step, traced in zip(steps, recorded.steps, strict=False):  # as if nothing had been traced
        computed = live.train(step)
        assert np.float32(computed.loss) == traced.values["loss/loss"].samples[0]
        assert digest(live.snapshot().average) not in content(before)


class Looks(StepRecorder, Companion):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.recorder = self
        self.inputs = True
        self.told: list[tuple[int, str]] = []
        self.entered: list[int] = []
        self.states: list[str] = []

    def begin(self, step: Step, plan: StepPlan) -> None:
        self.told.append((step.number, "begin"))

    def forward(self, path: str, inputs: Sequence[Array], output: Array) -> None:
        self.told.append((self.told[-1][0], f"forward {path}"))
        self.entered.append(len(inputs))

    def backward(self, path: str, call: int, gradient: Array) -> None:
        self.told.append((self.told[-1][0], f"backward {path}"))

    def gradient(self, parameter: str, gradient: Array) -> None:
        self.told.append((self.told[-1][0], f"gradient {parameter}"))

    def watched(self, live: LiveSide, update: Sequence[Step]) -> None:
        self.states.append(digest(live.model_state()))

    def completed(self, step: TracedStep) -> TracedStep:
        return replace(step, whole={"mine": np.zeros(step.step, np.float32)})


def test_a_companion_sees_each_traced_step_once_as_it_is(images: Path) -> None:
    live, steps = in_hand(images)
    before, looks = digest(live.model_state()), Looks()
    recorded = record_steps(live, steps, RECORDING, companion=looks)
    assert [len(step.whole["mine"]) for step in recorded.steps] == [0, 1]
    assert looks.states[0] == before != looks.states[1]
    seen = ["begin", "forward flatten", "forward fc", "forward "]
    for number in (0, 1):
        told = [what for step, what in looks.told if step == number]
        assert told[:4] == seen and sorted(told[4:]) == [
            "backward ",
            "backward fc",
            "backward flatten",
            "gradient fc.bias",
            "gradient fc.weight",
        ]
    assert looks.entered == [1] * 6


def test_inputs_are_not_reported_where_nobody_asks(images: Path) -> None:
    live, steps = in_hand(images)
    looks = Looks()
    looks.inputs = False
    record_steps(live, steps, replace(RECORDING, steps=1), companion=looks)
    assert looks.entered == [0, 0, 1]


@pytest.mark.parametrize(("precision", "relative"), [("fp32", 2.0**-23), ("bf16", 2.0**-7)])
def test_a_nudge_is_one_that_the_precision_sees(
    images: Path, precision: Precision, relative: float
) -> None:
    live, (step, *_) = in_hand(images)
    (fed,) = live.backend.dataset.feed([step.batch], live.normalization)
    (other,) = nudged(live.tracer, replace(live.plan, precision=precision), step, [fed])
    found = np.abs(other.images / fed.images - 1)
    assert relative / 4 < found.min() and found.max() <= relative
    assert 0.4 < (other.images > fed.images).mean() < 0.6
