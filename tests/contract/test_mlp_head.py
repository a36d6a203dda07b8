"""An MLP head is the reference's layer for layer, and a single output trains as a sigmoid."""

from __future__ import annotations

import numpy as np
import pytest

from contract.reference.layers import ACTIVATIONS, Dropout, Flatten, Layer, Linear
from contract.reference.trainer import ReferenceTrainer
from contract.subject import Learner, Subject, assert_close, assert_same_steps, in_bytes
from contract.truth import WITH_LOGITS, images
from contract.values import NORMALIZATION, batch, batches, state
from isotune.errors import BackendError
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.head import HeadValues
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.head import new_head, saved_head
from isotune.spec.head import HeadSpec, LinearHeadSpec, MLPHeadSpec
from isotune.spec.optimizer import SGDSpec

RATES = [0.05, 0.04, 0.03, 0.02]
WEIGHTS = np.array([0.5, 2.0], np.float32)
PLANS = {
    "plain": TrainingPlan(SGDSpec(momentum=0.9), loss="binary_cross_entropy"),
    "smoothed": TrainingPlan(SGDSpec(), loss="binary_cross_entropy", label_smoothing=0.2),
    "weighted": TrainingPlan(
        SGDSpec(), loss="binary_cross_entropy", label_smoothing=0.1, class_weights=WEIGHTS
    ),
}


def mlp(activation: str, outputs: str = "single", hidden: tuple[int, ...] = (9,)) -> HeadSpec:
    return MLPHeadSpec.model_validate(
        {"name": "mlp", "hidden": hidden, "activation": activation, "outputs": outputs}
    )


def learner_with(subject: Subject, head: HeadValues, plan: TrainingPlan) -> Learner:
    """Returns the net with a new head; all else is in its initial state."""
    backend, path = subject.backend, "fc"
    model = subject.model()
    backend.heads.replace(model, path, head)
    kept = {k: v for k, v in subject.initial().items() if not k.startswith(f"{path}.")}
    backend.checkpoints.import_model(model, {**kept, **head.state(path)})
    learner = Learner(backend, model, backend.trainer(model, plan))
    learner.trainer.freeze(FreezePlan())
    return learner


def reference_with(layers: list[Layer], head: HeadValues, plan: TrainingPlan) -> ReferenceTrainer:
    return ReferenceTrainer([Flatten(), *layers], head.state("fc"), plan, NORMALIZATION)


@pytest.mark.nets("linear")
@pytest.mark.parametrize("name", PLANS)
def test_single_output(subject: Subject, name: str) -> None:
    head = new_head(LinearHeadSpec(outputs="single"), 5, 192, 2)
    plan, data = PLANS[name], [batch(f"single/{i}", 4, classes=2) for i in range(len(RATES))]
    learner, reference = (
        learner_with(subject, head, plan),
        reference_with([Linear("fc")], head, plan),
    )
    assert learner.evaluate(data[0]).shape == (4, 1)
    assert_same_steps(learner, reference, data, RATES)


@pytest.mark.nets("linear")
def test_binary_cross_entropy_with_an_output_per_class(subject: Subject) -> None:
    weights = np.array([0.5, 2.0, 1.25], np.float32)
    plan = TrainingPlan(
        SGDSpec(), loss="binary_cross_entropy", label_smoothing=0.1, class_weights=weights
    )
    data = batches("per class", [4, 3, 4, 4])
    assert_same_steps(subject.learner(plan), subject.reference(plan), data, RATES)


@pytest.mark.nets("linear")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_head_with_dropout(subject: Subject, activation: str) -> None:
    if subject.backend.name == "numpy":
        with pytest.raises(BackendError, match="linear heads only"):
            subject.backend.heads.replace(subject.model(), "fc", new_head(mlp("relu"), 5, 192, 2))
        return
    head = new_head(mlp(activation), 5, 192, 2)
    layers = [Linear("fc.0"), ACTIVATIONS[activation](), Dropout("fc.2", 0.5), Linear("fc.3")]
    learner = learner_with(subject, head, PLANS["plain"])
    reference = reference_with(layers, head, PLANS["plain"])
    data = [batch(f"mlp/{i}", 4, classes=2) for i in range(len(RATES))]
    assert_same_steps(learner, reference, data, RATES)
    assert_close(learner.evaluate(data[0]), reference.eval_step(data[0]), 1e-4)


@pytest.mark.nets("alexnet", "convnext_tiny", "squeezenet1_1")
def test_mlp_head_takes_the_place_of_a_whole_classifier(subject: Subject) -> None:
    backend, entry, model = subject.backend, subject.entry, subject.model()
    path, spec = entry.classifier_block, mlp("relu", outputs="per_class", hidden=(5,))
    width = backend.heads.in_features(model, path)
    backend.heads.replace(model, path, new_head(spec, 1, width, 3, entry.convolutional))
    shapes = {name: v.shape for name, v in backend.checkpoints.export_model(model).items()}
    backend.checkpoints.import_model(model, state(shapes))
    trainer = backend.trainer(model, TrainingPlan(SGDSpec()))
    logits = Learner(backend, model, trainer).evaluate(images(entry.name))
    assert logits.shape == (2, 3)
    assert np.ptp(logits) > 0


@pytest.mark.nets("tiny_bn", *(name for name in WITH_LOGITS if "lenet" not in name))
def test_mlp_head_is_rebuilt_from_its_state(subject: Subject) -> None:
    backend, path = subject.backend, subject.entry.classifier_block
    model, spec = subject.model(), mlp("tanh", outputs="per_class", hidden=(5, 4))
    width = backend.heads.in_features(model, path)
    head = new_head(spec, 1, width, 3, subject.entry.convolutional)
    backend.heads.replace(model, path, head)
    saved = backend.checkpoints.export_model(model)
    assert [n for n in saved if n.startswith(path)] == [
        f"{path}.{i}.{kind}" for i in (0, 3, 6) for kind in ("weight", "bias")
    ]
    again = subject.model()
    backend.heads.replace(again, path, saved_head(spec, path, saved))
    backend.checkpoints.import_model(again, saved)
    assert in_bytes(backend.checkpoints.export_model(again)) == in_bytes(saved)
