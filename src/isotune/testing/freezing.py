"""Level two: frozen means frozen; unfreezing takes effect, in compiled steps too."""

from __future__ import annotations

import numpy as np
import pytest

from isotune.errors import BackendError, TrainingError
from isotune.interfaces.freezing import BatchNormMode, FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import AdamSpec, OptimizerSpec, SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.nets import NETS
from isotune.testing.same_steps import assert_same_steps
from isotune.testing.subject import Learner, Subject, assert_close, assert_states_close, in_bytes
from isotune.testing.values import NORMALIZATION, batch, batches

MOMENTUM = SGDSpec(momentum=0.9)
RATES = [0.1, 0.05, 0.1]
BACKBONE = frozenset({"conv.weight", "bn.weight", "bn.bias"})
STATISTICS = {"bn.running_mean", "bn.running_var"}


def changed(learner: Learner, subject: Subject) -> set[str]:
    """Returns the names of the tensors that are no longer in their initial state."""
    before, after = in_bytes(subject.initial()), in_bytes(learner.state())
    return {name for name in before if before[name] != after[name]}


class Freezing(Contract):
    """Level two: what is frozen does not move. Needs ``linear``, ``tiny_bn``, ``tiny_dropout``."""

    @on("linear")
    @pytest.mark.parametrize("frozen", ["fc.weight", "fc.bias"])
    def test_frozen_parameter_keeps_its_bytes_though_it_would_decay(
        self, subject: Subject, frozen: str
    ) -> None:
        """A frozen parameter is not even moved by weight decay."""
        plan, freeze = TrainingPlan(SGDSpec(weight_decay=0.1)), FreezePlan(frozenset({frozen}))
        learner = subject.learner(plan, freeze)
        assert_same_steps(learner, subject.reference(plan, freeze), batches("one", [4] * 3), RATES)
        assert changed(learner, subject) == {"fc.weight", "fc.bias"} - {frozen}

    @on("tiny_bn")
    @pytest.mark.parametrize(
        ("frozen", "mode", "kept"),
        [
            (BACKBONE, "eval", BACKBONE | STATISTICS),
            (BACKBONE, "train", BACKBONE),
            (frozenset({"bn.weight", "bn.bias"}), "eval", {"bn.weight", "bn.bias"} | STATISTICS),
            (frozenset({"conv.weight", "bn.bias"}), "eval", {"conv.weight", "bn.bias"}),
            (frozenset(), "eval", set()),
        ],
        ids=["backbone", "backbone-bn-trains", "bn-alone", "half-a-bn", "nothing"],
    )
    def test_batch_norm_is_frozen_with_its_parameters(
        self, subject: Subject, frozen: frozenset[str], mode: BatchNormMode, kept: set[str]
    ) -> None:
        """A BatchNorm layer whose parameters are all frozen does what the plan says."""
        plan, freeze = TrainingPlan(MOMENTUM), FreezePlan(frozen, mode)
        learner = subject.learner(plan, freeze)
        assert_same_steps(learner, subject.reference(plan, freeze), batches("bn", [4] * 3), RATES)
        assert changed(learner, subject) == NETS["tiny_bn"].shapes.keys() - kept

    @on("tiny_bn")
    @pytest.mark.parametrize("optimizer", [MOMENTUM, AdamSpec(name="adam")], ids=["sgd", "adam"])
    def test_a_plan_may_change_between_steps(
        self, subject: Subject, optimizer: OptimizerSpec
    ) -> None:
        """Freezing and unfreezing take effect from the next step on, in a compiled step too.

        Averages are those of averaging everything from the start.
        """
        plan = TrainingPlan(optimizer, averages=True)
        learner, reference = subject.learner(plan), subject.reference(plan)
        for phase, frozen in enumerate([BACKBONE, frozenset[str](), BACKBONE, {"fc.weight"}]):
            freeze = FreezePlan(frozenset(frozen))
            learner.trainer.freeze(freeze)
            reference.freeze(freeze)
            data = batches(f"phase {phase}", [4] * 3)
            assert_same_steps(learner, reference, data, [0.01, 0.005, 0.01], first=3 * phase)

    @on("tiny_bn")
    def test_evaluation_in_between_wakes_no_frozen_batch_norm(self, subject: Subject) -> None:
        """Going back to training after evaluation does not unfreeze BatchNorm."""
        plan, freeze = TrainingPlan(MOMENTUM), FreezePlan(BACKBONE)
        learner, reference = subject.learner(plan, freeze), subject.reference(plan, freeze)
        for step, one in enumerate(batches("awake", [4] * 3)):
            assert_same_steps(learner, reference, [one], [0.1], first=step)
            assert_close(learner.evaluate(one), reference.eval_step(one))
        assert changed(learner, subject) == {"fc.weight", "fc.bias"}

    @on("tiny_bn")
    @pytest.mark.parametrize(("side", "values"), [(8, 64), (1, 1)])
    def test_the_values_that_batch_norm_gets_from_one_image_are_counted(
        self, subject: Subject, side: int, values: int
    ) -> None:
        """``values_per_channel`` counts places of maps and changes nothing of the model."""
        learner, plan = subject.learner(), FreezePlan(frozenset({"conv.weight"}))
        learner.trainer.freeze(plan)
        learner.train(batches("before", [4]), [0.1])
        before = in_bytes(learner.state())
        (image,) = subject.backend.dataset.feed([batch("one", 1, side)], NORMALIZATION)
        freezing = subject.backend.freezing
        assert freezing.values_per_channel(learner.model, image) == {"bn": values}
        assert in_bytes(learner.state()) == before
        reference = subject.reference(freeze=plan)
        for step, one in enumerate([*batches("before", [4]), *batches("after", [4])]):
            reference.train_step(one, 0.1, step)
        learner.train(batches("after", [4]), [0.1], first=1)
        assert_states_close(learner.state(), reference.state)

    @on("tiny_bn")
    @pytest.mark.parametrize(
        ("frozen", "mode", "refused"),
        [
            (frozenset(), "eval", True),
            (BACKBONE, "train", True),
            (frozenset({"conv.weight", "bn.bias"}), "eval", True),
            (BACKBONE, "eval", False),
        ],
        ids=["nothing", "backbone-bn-trains", "half-a-bn", "backbone"],
    )
    def test_batch_norm_refuses_the_statistics_of_one_value(
        self, subject: Subject, frozen: frozenset[str], mode: BatchNormMode, refused: bool
    ) -> None:
        """One image with maps of 1 x 1: ``TrainingError`` before anything changes."""
        learner = subject.learner(TrainingPlan(MOMENTUM), FreezePlan(frozen, mode))
        before = in_bytes(learner.state())
        if refused:
            with pytest.raises(TrainingError, match="'bn' gets one value per channel"):
                learner.train([batch("one", 1, side=1)], [0.1])
            assert in_bytes(learner.state()) == before
        else:
            learner.train([batch("one", 1, side=1)], [0.1])
            assert changed(learner, subject) == {"fc.weight", "fc.bias"}
        learner.train([batch("two", 2, side=1), batch("larger", 1)], [0.1, 0.1])
        assert all(np.isfinite(value).all() for value in learner.state().values())

    @on("linear")
    def test_freezing_drops_the_optimizer_state_and_keeps_that_of_others(
        self, subject: Subject
    ) -> None:
        """Optimizer state of a newly frozen parameter goes, that of others stays."""
        learner = subject.learner(TrainingPlan(MOMENTUM))
        learner.train(batches("momentum", [4] * 3), RATES)
        before = learner.optimizer_state()
        learner.trainer.freeze(FreezePlan(frozenset({"fc.weight"})))
        kept = {"fc.bias/momentum_buffer": before["fc.bias/momentum_buffer"]}
        assert in_bytes(learner.optimizer_state()) == in_bytes(kept)

    @on("linear", "tiny_bn")
    def test_unknown_name_is_an_error_with_a_hint(self, subject: Subject) -> None:
        """A plan that names no parameter: ``BackendError`` with the nearest name."""
        learner, plan = subject.learner(), FreezePlan(frozenset({"fc.wieght"}))
        with pytest.raises(BackendError, match=r"fc\.wieght.*fc\.weight"):
            learner.trainer.freeze(plan)
        with pytest.raises(BackendError, match=r"fc\.wieght.*fc\.weight"):
            subject.backend.freezing.apply(learner.model, plan)

    @on("tiny_dropout")
    @pytest.mark.parametrize("mode", ["eval", "train"])
    def test_dropout_within_a_frozen_block_drops_nothing(
        self, subject: Subject, mode: BatchNormMode
    ) -> None:
        """Dropout drops by :meth:`FreezePlan.drops`, at once and after unfreezing."""
        plan = TrainingPlan(SGDSpec(), seed=5)
        learner, reference = subject.learner(plan), subject.reference(plan)
        for phase, frozen in enumerate([{"stem.hidden.weight", "stem.hidden.bias"}, set()]):
            freeze = FreezePlan(frozenset(frozen), mode)
            learner.trainer.freeze(freeze)
            reference.freeze(freeze)
            data = batches(f"drops {phase}", [4] * 2)
            assert_same_steps(learner, reference, data, RATES[:2], first=2 * phase)
