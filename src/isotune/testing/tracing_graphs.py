"""The level of traces of models that are no chain of layers."""

from __future__ import annotations

from dataclasses import replace

from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.testing.cases import updates
from isotune.testing.contract import on
from isotune.testing.places import place_shown
from isotune.testing.subject import Subject, assert_states_close
from isotune.testing.tracing import Tracing
from isotune.testing.watching import (
    Collected,
    assert_same_values,
    check_runs,
    watched_passes,
    watched_steps,
)

PLAN = TrainingPlan(SGDSpec(momentum=0.9), label_smoothing=0.1, averages=True)
AUXILIARY = replace(PLAN, auxiliary=("aux",), auxiliary_weight=0.4)


class TracingGraphs(Tracing):
    """Level of traces with such models: needs ``tiny_auxiliary`` and ``tiny_repeated``, too."""

    @on("tiny_auxiliary")
    def test_auxiliary_classifiers_are_watched(self, subject: Subject) -> None:
        """Their outputs have gradients of their own; the model's output is its logits."""
        seen = self._seen(subject, AUXILIARY)
        assert {"", "conv", "fc", "aux.fc"} <= seen.outputs.keys()

    @on("tiny_repeated")
    def test_each_call_of_a_layer_is_reported(self, subject: Subject) -> None:
        """In order; the gradient of a parameter is the sum over the calls."""
        seen = self._seen(subject, PLAN)
        calls = [name for name in seen.outputs if name.startswith("mix")]
        assert calls == ["mix", "mix:1"]

    @on("tiny_repeated")
    def test_a_layer_that_is_called_twice_runs_on_the_inputs_of_each(
        self, subject: Subject
    ) -> None:
        """Gradients of its parameters are those of one call."""
        learner = subject.learner(PLAN)
        (step,) = watched_steps(learner, [replace(updates("twice", [[4]])[0], rate=0.0)], PLAN)
        check_runs(learner, step.seen, step.step.plan)

    def _seen(self, subject: Subject, plan: TrainingPlan) -> Collected:
        """Compares a watched step with the reference's."""
        learner, reference = subject.learner(plan), subject.reference(plan)
        data = updates("graphs", [[4]])
        with place_shown(learner, reference, data):
            ((step,), (expected,)) = (
                watched_steps(learner, data, plan),
                watched_passes(reference, data),
            )
            assert_same_values(step.seen.outputs, expected.outputs, expected.outputs)
            assert_same_values(step.seen.slopes, expected.slopes, expected.slopes)
            assert step.seen.gradients.keys() == expected.gradients.keys()
            assert_same_values(step.seen.gradients, expected.gradients, expected.gradients)
            assert_states_close(learner.state(), reference.state)
        return step.seen
