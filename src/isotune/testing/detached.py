"""A model cut in two: features, and a classifier by itself that is still the whole model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.data.images import Images
from isotune.errors import BackendError
from isotune.interfaces.dataset import Batch, DeviceBatch, FeatureBatch, ImageSource
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter
from isotune.interfaces.trainer import HostOutputs, StepPlan, Trainer, TrainingPlan
from isotune.models.head import head_path, new_head
from isotune.spec.head import HeadSpec, LinearHeadSpec, MLPHeadSpec
from isotune.spec.load import load_spec
from isotune.spec.optimizer import AdamSpec
from isotune.testing.contract import Contract, on
from isotune.testing.reference.trainer import normalized
from isotune.testing.subject import Subject, assert_close, assert_states_close, in_bytes
from isotune.testing.values import NORMALIZATION, state
from isotune.training.features.cut import Cut
from isotune.training.features.probe import can_be_cut
from isotune.training.session import Session

if TYPE_CHECKING:
    from PIL import Image

PLAN = TrainingPlan(AdamSpec(name="adam"), seed=3)
CLASSES = 3


def built(subject: Subject, head: HeadSpec) -> tuple[Any, Cut]:
    """Returns a model with a new head, the same values in every one of them, and its cut."""
    backend, model, path = subject.backend, subject.model(), head_path(head, subject.entry)
    width = backend.heads.in_features(model, path)
    backend.heads.replace(model, path, new_head(head, 5, width, CLASSES))
    shapes = {name: v.shape for name, v in backend.state_adapter.export_model(model).items()}
    backend.state_adapter.import_model(model, state(shapes))
    return model, Cut.of(subject.entry, shapes)


def samples(subject: Subject) -> Batch:
    """Returns a batch for the net, with labels of the new head's classes."""
    return Batch(subject.images.images, subject.images.labels % CLASSES)


def frozen_before(cut: Cut) -> FreezePlan:
    """Returns the plan that freezes everything before the classifier."""
    return FreezePlan(frozenset(filter(is_parameter, cut.before)))


def features_of(subject: Subject, model: Any, cut: Cut, images: Batch) -> NDArray[np.float32]:
    """Returns what a model whose classifier was taken out computes."""
    if not cut.before:  # there is no layer to compute them
        pixels = normalized(images.images, NORMALIZATION).astype(np.float32)
        return pixels.reshape(len(images), -1)
    extractor = subject.backend.trainer(model, PLAN)
    fed = next(subject.backend.dataset.feed([images], NORMALIZATION))
    (outputs,) = extractor.fetch([extractor.eval_step(fed)])
    return outputs.logits


def steps(trainer: Trainer, batches: Sequence[DeviceBatch]) -> list[HostOutputs]:
    """Makes a training step for each batch and then an evaluation step."""
    outputs = [trainer.train_step(fed, StepPlan(step, 0.01)) for step, fed in enumerate(batches)]
    return trainer.fetch([*outputs, trainer.eval_step(batches[0])])


def check_detached_steps(subject: Subject, head: HeadSpec) -> None:
    """Trains a head within its model and by itself, and compares; then puts it back."""
    backend, adapter, data = subject.backend, subject.backend.state_adapter, samples(subject)
    model, cut = built(subject, head)
    whole = backend.trainer(model, PLAN)
    whole.freeze(frozen_before(cut))
    fed = list(backend.dataset.feed([data] * 3, NORMALIZATION))
    expected = steps(whole, fed)

    other, _ = built(subject, head)
    before, shown = adapter.export_model(other), repr(other)
    taken = backend.heads.detach(other, cut.path)
    part = adapter.export_model(taken)
    assert in_bytes(part) == in_bytes({n: v for n, v in before.items() if n not in cut.before})
    rest = adapter.export_model(other) if cut.before else {}
    assert in_bytes(rest) == in_bytes({n: v for n, v in before.items() if n in cut.before})
    features = features_of(subject, other, cut, data)
    assert features.shape == (len(data), backend.heads.in_features(taken, cut.path))
    alone = backend.trainer(taken, PLAN)
    alone.freeze(FreezePlan())
    batches = [FeatureBatch(features, data.labels)] * 3
    outputs = steps(alone, list(backend.dataset.feed_features(batches)))

    for mine, theirs in zip(outputs, expected, strict=True):
        assert_close(mine.logits, theirs.logits, 1e-4)
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-5, nan_ok=True)
    optimizer = adapter.export_optimizer(alone)
    assert_states_close(optimizer, adapter.export_optimizer(whole))
    backend.heads.attach(other, cut.path, taken)
    after = adapter.export_model(other)
    assert list(after) == list(before)
    assert_states_close(after, adapter.export_model(model))
    assert repr(other) == shown

    # Whole again, it goes on where the head by itself has stopped.
    again = backend.trainer(other, PLAN)
    again.freeze(FreezePlan())
    adapter.import_optimizer(again, optimizer)
    whole.freeze(FreezePlan())
    for one, two in zip(steps(again, fed), steps(whole, fed), strict=True):
        assert_close(one.logits, two.logits, 1e-3)


class ArraySource(ImageSource):
    """The images of a batch as a dataset."""

    def __init__(self, batch: Batch) -> None:
        self.classes = tuple(f"class {label}" for label in range(CLASSES))
        self.labels = batch.labels
        self._images = batch.images

    def load(self, index: int) -> Image.Image:
        """Returns image `index`."""
        from PIL import Image

        return Image.fromarray(self._images[index])

    def identify(self, index: int) -> str:
        """Returns the number of image `index`."""
        return str(index)


def session_on(subject: Subject) -> Session:
    """Returns an experiment that trains on :func:`samples`, without changing their pixels."""
    source = ArraySource(samples(subject))
    unchanged = [{"resize": list(source.load(0).size[::-1])}]
    spec = {
        "name": "contract",
        "dataset": {"path": "."},
        "transforms": {"train": unchanged, "val": unchanged},
        "normalization": {"mean": NORMALIZATION.mean, "std": NORMALIZATION.std},
        "batch_size": len(source),
        "backbone": {"name": subject.entry.name, "weights": "none"},
        "optimizer": {"name": "adam"},
        "epochs": 1,
    }
    images = Images(source, source, {})
    return Session(load_spec(spec), subject.entry, subject.backend, images, PLAN)


def check_probe(subject: Subject, freeze: FreezePlan | None, expected: bool) -> None:
    """Probes whether the model can be cut; it stays as it was.

    Args:
        subject: the model.
        freeze: what is frozen; None for everything before the classifier.
        expected: what the probe must find.
    """
    model, cut = built(subject, LinearHeadSpec())
    before = in_bytes(subject.backend.state_adapter.export_model(model))
    session = session_on(subject)
    assert can_be_cut(session, model, cut, freeze or frozen_before(cut)) == expected
    assert in_bytes(subject.backend.state_adapter.export_model(model)) == before


class Detached(Contract):
    """The half of the level of heads that takes them out: training on cached features."""

    @on("linear")
    def test_a_linear_head_by_itself_trains_as_within_the_model(self, subject: Subject) -> None:
        """A head that was taken out trains on features as it does behind frozen layers."""
        check_detached_steps(subject, LinearHeadSpec())

    @on("tiny_bn")
    def test_an_mlp_head_by_itself_trains_as_within_the_model(self, subject: Subject) -> None:
        """The same for a head of several layers with dropout."""
        check_detached_steps(subject, MLPHeadSpec(name="mlp", hidden=(6, 5), dropout=0.25))

    @on("tiny_bn")
    def test_frozen_layers_before_the_classifier_do_the_same_apart(self, subject: Subject) -> None:
        """Frozen layers compute the same features apart: the probe finds that they can."""
        check_probe(subject, None, expected=True)

    @on("tiny_dropout", "tiny_bn")
    def test_layers_that_do_not_are_found_out(self, subject: Subject) -> None:
        """Dropout and BatchNorm at work before the classifier: the probe finds that they cannot."""
        # Dropout is random though all before it is frozen; BatchNorm looks at the whole batch.
        freeze = None if subject.entry.name == "tiny_dropout" else FreezePlan()
        check_probe(subject, freeze, expected=False)

    @on("linear", "tiny_bn")
    @pytest.mark.parametrize("path", ["head", "flatten", ""])
    def test_only_a_classifier_is_taken_out(self, subject: Subject, path: str) -> None:
        """There is no head there: ``BackendError`` with the path."""
        with pytest.raises(BackendError, match=f"'{path}'"):
            subject.backend.heads.detach(subject.model(), path)
