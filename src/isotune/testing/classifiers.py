"""Level five: convolutional and auxiliary classifiers, which only some backbones have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.head import auxiliary_head, new_head
from isotune.spec.head import LinearHeadSpec
from isotune.spec.optimizer import SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.divided import Update
from isotune.testing.heads import check_rebuilt_head, mlp
from isotune.testing.mixed import mixed
from isotune.testing.nets import NETS
from isotune.testing.reference.layers import (
    Conv,
    Dropout,
    GlobalAveragePool,
    Layer,
    PointwiseConv,
    ReLU,
)
from isotune.testing.same_steps import assert_same_steps, assert_same_updates
from isotune.testing.subject import Subject, assert_close, in_bytes
from isotune.testing.tensors import check_replaced_head, check_wrong_width
from isotune.testing.values import batches

MOMENTUM = SGDSpec(momentum=0.9)
AUXILIARY = TrainingPlan(
    MOMENTUM, label_smoothing=0.1, clip_grad_norm=1.0, auxiliary=("aux",), auxiliary_weight=0.4
)
RATES = [0.05, 0.04, 0.03]


class Classifiers(Contract):
    """Level five: needs ``tiny_convolutional`` and ``tiny_auxiliary``."""

    @on("tiny_convolutional", "tiny_auxiliary")
    def test_names_shapes_and_replaced_head(self, subject: Subject) -> None:
        """Names are canonical, and a new head has the given bytes, as a convolution if it was."""
        shapes = subject.backend.state_adapter.model_shapes(subject.model())
        assert shapes == NETS[subject.entry.name].shapes
        check_replaced_head(subject)
        check_wrong_width(subject)

    @on("tiny_convolutional")
    def test_convolutional_head_trains(self, subject: Subject) -> None:
        """A convolution of 1 x 1 classifies each place of maps, which are pooled afterwards."""
        self._check_head(subject, new_head(LinearHeadSpec(), 5, 4, 3, convolutional=True), [])

    @on("tiny_convolutional")
    def test_convolutional_mlp_head_trains(self, subject: Subject) -> None:
        """The layers of an MLP head are convolutions too; dropout drops single values of maps."""
        head = new_head(mlp("relu", outputs="per_class"), 5, 4, 3, convolutional=True)
        hidden = [PointwiseConv("classifier.0"), ReLU("classifier.1"), Dropout("classifier.2", 0.5)]
        self._check_head(subject, head, [*hidden, PointwiseConv("classifier.3")])
        check_rebuilt_head(subject)

    @on("tiny_auxiliary")
    def test_auxiliary_losses_count_in_training(self, subject: Subject) -> None:
        """The loss is that of the logits plus the weighted ones of auxiliary classifiers.

        The images are mixed; those of the next test are not. The gradients of auxiliary
        classifiers count in the norm that is clipped, and so they do on a divided batch.
        """
        learner, reference = subject.learner(AUXILIARY), subject.reference(AUXILIARY)
        for phase in range(2):
            data = [mixed(f"auxiliary/{phase}/{i}", size) for i, size in enumerate([4, 4, 3])]
            assert_same_steps(learner, reference, data, RATES, first=3 * phase)
            assert_close(learner.evaluate(data[0]), reference.eval_step(data[0]), 1e-4)
        plan, divided = replace(AUXILIARY, shards=2), [Update([mixed("divided", 4)], 0.05, 0)]
        assert_same_updates(subject.learner(plan), subject.reference(plan), divided)

    @on("tiny_auxiliary")
    def test_auxiliary_losses_do_not_count_once_all_of_them_is_frozen(
        self, subject: Subject
    ) -> None:
        """A frozen auxiliary classifier neither moves nor has a part in the loss."""
        learner, reference = subject.learner(AUXILIARY), subject.reference(AUXILIARY)
        before = in_bytes(learner.state())
        for phase, frozen in enumerate([{"aux.fc.weight", "aux.fc.bias"}, {"aux.fc.bias"}]):
            freeze, data = FreezePlan(frozenset(frozen)), batches(f"frozen/{phase}", [4, 4, 3])
            learner.trainer.freeze(freeze)
            reference.freeze(freeze)
            assert_same_steps(learner, reference, data, RATES, first=3 * phase)
            after = in_bytes(learner.state())
            assert all(after[name] == before[name] for name in frozen)

    @on("tiny_auxiliary")
    def test_auxiliary_head_is_replaced_like_any_other(self, subject: Subject) -> None:
        """An auxiliary classifier's last layer is found by its path and takes new values."""
        heads, adapter = subject.backend.heads, subject.backend.state_adapter
        model, (path,) = subject.model(), subject.entry.auxiliary
        before = adapter.export_model(model)
        new = auxiliary_head(5, path, heads.in_features(model, path), 7)
        heads.replace(model, path, new)
        expected = {**before, **new.state(path)}
        assert in_bytes(adapter.export_model(model)) == in_bytes(expected)

    def _check_head(self, subject: Subject, head: HeadValues, layers: list[Layer]) -> None:
        plan = TrainingPlan(MOMENTUM, seed=5)
        learner, reference = subject.learner_with(head, plan), subject.reference(plan)
        state = {"conv.weight": subject.initial()["conv.weight"], **head.state("classifier")}
        reference.state = {name: value.astype(np.float64) for name, value in state.items()}
        if layers:
            reference.net = [Conv("conv", padding=(1, 1)), ReLU(), *layers, GlobalAveragePool()]
        data = batches("convolutional", [4, 4, 3])
        assert_same_steps(learner, reference, data, RATES)
        assert_close(learner.evaluate(data[0]), reference.eval_step(data[0]), 1e-4)
