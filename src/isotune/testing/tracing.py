"""The level of traces: a watched step, its values, and single layers on given inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from isotune.errors import BackendError
from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.division import UNDIVIDED
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter, is_under
from isotune.interfaces.tracer import Setting, moved
from isotune.interfaces.trainer import HostOutputs, StepPlan, TrainingPlan
from isotune.testing.cases import BACKBONE, PLAN, learner_with_dropout, updates
from isotune.testing.contract import Contract, on
from isotune.testing.divided import Update, train_parts
from isotune.testing.places import place_shown
from isotune.testing.subject import (
    LATER_LOGITS,
    Learner,
    Subject,
    assert_close,
    assert_states_close,
    in_bytes,
)
from isotune.testing.values import NORMALIZATION, batch, words
from isotune.testing.watching import (
    Collected,
    WatchedStep,
    assert_same_values,
    check_runs,
    tracer_of,
    watched_passes,
    watched_steps,
)


@dataclass(frozen=True)
class Case:
    """What is watched.

    Attributes:
        sizes: Sizes of the batches of each update.
        plan: The trainer's settings.
        frozen: Parameters of ``tiny_bn`` and of ``tiny_dropout`` that are frozen.
    """

    sizes: list[list[int]]
    plan: TrainingPlan = PLAN
    frozen: frozenset[str] = frozenset()


WATCHED = replace(PLAN, accumulate=1)
HIDDEN = frozenset({"stem.hidden.weight", "stem.hidden.bias"})
CASES = {
    "accumulated": Case([[4, 3]]),
    "divided": Case([[3], [1]], replace(WATCHED, shards=2)),
    "frozen": Case([[4]], WATCHED, BACKBONE | HIDDEN),
}
"""A batch of one image in two shards leaves one empty."""

LAYERS: dict[str, dict[str, tuple[str, dict[str, Setting]]]] = {
    "tiny_bn": {
        "conv": ("Conv2d", {"stride": (1, 1), "padding": (1, 1)}),
        "bn": ("BatchNorm2d", {"eps": 1e-5, "momentum": 0.1}),
        "fc": ("Linear", {}),
    },
    "tiny_dropout": {
        "stem.drop": ("Dropout", {"p": 0.5}),
        "stem.hidden": ("Linear", {}),
        "drop": ("Dropout", {"p": 0.25}),
        "fc": ("Linear", {}),
    },
}
"""Kinds and settings of layers."""


class Tracing(Contract):
    """Level of traces: needs ``tiny_bn`` and ``tiny_dropout``."""

    @on("tiny_bn", "tiny_dropout")
    def test_layers_have_paths_kinds_and_settings(self, subject: Subject) -> None:
        """The model itself and its parts, by PyTorch's names and in its conventions."""
        found = tracer_of(subject).layers(subject.learner().trainer)
        layers = {layer.path: layer for layer in found}
        assert len(layers) == len(found)
        for path, layer in layers.items():
            has_parts = any(is_under(path, other) for other in layers) if path else True
            assert layer.leaf != has_parts, path or "the model"
        for path, (kind, settings) in LAYERS[subject.entry.name].items():
            assert layers[path].kind == kind
            for name, value in settings.items():
                assert layers[path].settings[name] == pytest.approx(value), f"{path}.{name}"

    @on("tiny_bn", "tiny_dropout")
    @pytest.mark.parametrize("case", CASES)
    def test_a_step_computes_what_the_reference_does(self, subject: Subject, case: str) -> None:
        """Outputs in order of execution, gradients of outputs and parameters, and what follows.

        Gradients have the factor of the step; those of outputs that no training parameter needs
        may be missing. An empty part of a batch computes nothing.
        """
        chosen = CASES[case]
        freeze = FreezePlan(chosen.frozen & subject.initial().keys())
        learner = subject.learner(chosen.plan, freeze)
        reference = subject.reference(chosen.plan, freeze)
        trained = {name for name in reference.state if is_parameter(name)} - freeze.frozen
        data = updates(f"traced/{case}", chosen.sizes)
        with place_shown(learner, reference, data):
            steps = watched_steps(learner, data, chosen.plan)
            _check_steps(steps, watched_passes(reference, data), trained)
            assert_states_close(learner.state(), reference.state)
            assert_states_close(learner.optimizer_state(), reference.optimizer_state())

    @on("tiny_bn", "tiny_dropout")
    def test_inputs_are_reported_where_they_are_asked_for(self, subject: Subject) -> None:
        """Those of the model itself always are."""
        learner, fed = subject.learner(), _fed(subject, 4)
        for asked in (True, False):
            seen = Collected()
            seen.inputs = asked
            with tracer_of(subject).watch(learner.trainer, seen):
                learner.trainer.train_step(fed, StepPlan(0, 0.0))
            assert_same_values({"": seen.entered[""][0]}, {"": self.to_numpy(fed.images)}, [""])
            assert all(bool(each) == asked for name, each in seen.entered.items() if name)

    @on("tiny_bn")
    def test_watching_changes_nothing(self, subject: Subject) -> None:
        """Neither does running single layers, nor what ends in an error.

        A watched step comes to the same bytes where the tracer says that it is the step itself,
        and to the same numbers where it is not. The steps after it compute what they would have.
        """
        watched, plain = (learner_with_dropout(subject, WATCHED) for _ in range(2))
        for each in (watched, plain):
            each.trainer.freeze(FreezePlan(frozenset({"conv.weight"})))
        before, now, after, later = updates("lived", [[4]] * 4)
        assert _trained(watched, before) == _trained(plain, before)
        (step,) = watched_steps(watched, [now], WATCHED)
        ((_, outputs),) = train_parts(plain, [now], WATCHED, UNDIVIDED)
        if step.itself:
            assert _in_bytes(watched, step.outputs) == _in_bytes(plain, outputs)
        else:
            assert_close(step.outputs.logits, outputs.logits, LATER_LOGITS)
            assert_close([step.outputs.loss], [outputs.loss])
            _take_over(watched, plain)
        _run_all(watched, step.seen)
        reported, late = step.seen.calls.total(), Collected()
        assert _trained(watched, after) == _trained(plain, after)
        assert step.seen.calls.total() == reported
        with pytest.raises(ZeroDivisionError), tracer_of(subject).watch(watched.trainer, late):
            raise ZeroDivisionError
        assert _trained(watched, later) == _trained(plain, later)
        assert not late.calls

    @on("tiny_bn", "tiny_dropout")
    @pytest.mark.parametrize("case", CASES)
    def test_a_layer_by_itself_computes_what_it_did(self, subject: Subject, case: str) -> None:
        """On the inputs that were reported, which may be read alone, with the same masks."""
        chosen = CASES[case]
        freeze = FreezePlan(chosen.frozen & subject.initial().keys())
        learner = subject.learner(chosen.plan, freeze)
        data = [replace(each, rate=0.0) for each in updates(f"alone/{case}", chosen.sizes[:1])]
        *_, last = watched_steps(learner, data, chosen.plan)
        check_runs(learner, last.seen, last.step.plan)

    @on("tiny_bn")
    @pytest.mark.parametrize(
        ("path", "shape"),
        [("cnov", (4, 3, 8, 8)), ("fc.weight", (4, 4)), ("fc", (4, 5)), ("conv", (4, 7, 8, 8))],
    )
    def test_a_layer_that_cannot_run_is_an_error(
        self, subject: Subject, path: str, shape: tuple[int, ...]
    ) -> None:
        """There is none at the path, or it takes other inputs: ``BackendError`` with the path."""
        trainer, inputs = subject.learner().trainer, [np.ones(shape, np.float32)]
        with pytest.raises(BackendError, match=f"'{path}'"):
            tracer_of(subject).run(trainer, path, inputs, None, StepPlan(0, 0.1))

    @on("tiny_bn")
    def test_every_number_of_a_batch_is_nudged(self, subject: Subject) -> None:
        """To the next larger or smaller one; the batch itself stays as it is."""
        fed = _fed(subject, 3)
        before = np.array(self.to_numpy(fed.images))
        up = words("nudged", before.size).reshape(before.shape) % np.uint64(2) == 0
        nudged = tracer_of(subject).nudged(fed, up)
        towards = np.where(up, np.float32(np.inf), np.float32(-np.inf))
        expected = np.nextafter(before, towards)
        assert np.array_equal(self.to_numpy(nudged.images), expected)
        coarse = tracer_of(subject).nudged(fed, up, 2**16)  # one ulp of bfloat16
        assert np.array_equal(self.to_numpy(coarse.images), moved(before, up, 2**16))
        assert np.array_equal(self.to_numpy(fed.images), before)
        assert np.array_equal(self.to_numpy(nudged.labels), self.to_numpy(fed.labels))
        assert nudged.size == 3

    @on("tiny_bn")
    def test_variants_do_not_matter(self, subject: Subject) -> None:
        """Each can be entered again, computes the same up to rounding, and leaves nothing.

        Layers run alone in it, too.
        """
        learner, data = subject.learner(PLAN), [Update([batch("varied", 4)], 0.0, 0)]

        def watched() -> WatchedStep:
            return watched_steps(learner, data, PLAN)[0]

        def seen() -> Collected:
            return watched().seen

        before, settings = seen(), self.current_settings()
        for variant in tracer_of(subject).variants(learner.trainer).values():
            for _ in range(2):
                with variant:
                    varied = watched()
                    found = varied.seen
                    check_runs(learner, found, varied.step.plan)
                assert_same_values(found.outputs, before.outputs, before.outputs)
                assert_same_values(found.gradients, before.gradients, before.gradients)
        assert self.current_settings() == settings
        after = seen()
        assert in_bytes(after.outputs) == in_bytes(before.outputs)
        assert in_bytes(after.gradients) == in_bytes(before.gradients)


def _check_steps(
    steps: Sequence[WatchedStep], passes: Sequence[Collected], trained: set[str]
) -> None:
    assert all(bool(each.seen.outputs) == bool(len(each.step.part)) for each in steps)
    seen = [each.seen for each in steps if len(each.step.part)]
    for one, expected in zip(seen, passes, strict=True):
        assert [name for name in one.outputs if name in expected.outputs] == [*expected.outputs]
        assert_same_values(one.outputs, expected.outputs, expected.outputs)
        assert_same_values(one.slopes, expected.slopes, _needed(expected.outputs, trained))
        assert one.gradients.keys() == trained
        assert_same_values(one.gradients, expected.gradients, trained)


def _needed(outputs: Iterable[str], trained: Iterable[str]) -> Iterator[str]:
    """Yields the outputs that depend on a parameter that trains, given a chain of layers."""
    depends = False
    for path in outputs:
        depends = depends or any(is_under(path, name) for name in trained)
        if depends:
            yield path


def _fed(subject: Subject, size: int) -> DeviceBatch:
    return next(subject.backend.dataset.feed([batch("fed", size)], NORMALIZATION))


def _trained(learner: Learner, update: Update) -> Any:
    """Makes an update without watching; returns all that it comes to, in bytes."""
    ((_, outputs),) = train_parts(learner, [update], WATCHED, UNDIVIDED)
    return _in_bytes(learner, outputs)


def _in_bytes(learner: Learner, outputs: HostOutputs) -> Any:
    states = learner.state(), learner.optimizer_state(), learner.average()
    values = outputs.logits.tobytes(), outputs.loss, outputs.grad_norm
    return values, [in_bytes(each) for each in states]


def _run_all(learner: Learner, seen: Collected) -> None:
    """Runs all layers on what they were given."""
    tracer, plan = learner.backend.tracer, StepPlan(7, 0.1)
    assert tracer is not None
    for name, inputs in seen.entered.items():
        tracer.run(learner.trainer, name, inputs, np.ones_like(seen.outputs[name]), plan)


def _take_over(learner: Learner, other: Learner) -> None:
    """Compares two learners, and makes the first one's state that of the other."""
    adapter = learner.backend.state_adapter
    assert_states_close(learner.state(), other.state())
    assert_states_close(learner.optimizer_state(), other.optimizer_state())
    assert_states_close(learner.average(), other.average())
    adapter.import_model(learner.model, other.state())
    adapter.import_optimizer(learner.trainer, other.optimizer_state())
    adapter.import_average(learner.trainer, adapter.export_average(other.trainer))
