"""The level of explanations: outputs, inputs and gradients within a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.errors import BackendError
from isotune.interfaces.dataset import Batch
from isotune.interfaces.explainer import Explainer
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter
from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.nets import NETS
from isotune.testing.reference.layers import Array, Pass, forward
from isotune.testing.reference.trainer import normalized
from isotune.testing.subject import Learner, Subject, assert_close, in_bytes
from isotune.testing.values import NORMALIZATION, batch, batches, uniform

STEP = 1e-5
"""Step of finite differences in float64."""

OUTPUTS = 3


class Explaining(Contract):
    """Level of explanations: needs ``tiny_bn`` and ``tiny_dropout``."""

    @on("tiny_bn")
    @pytest.mark.parametrize("path", ["conv", "bn"])
    def test_gradients_are_those_of_finite_differences(self, subject: Subject, path: str) -> None:
        """A part's output, and how each score changes with each of its values."""
        images, weights = batch("explained", 3), uniform("scores", (3, OUTPUTS), -1, 1)
        model = subject.learner().model
        maps, gradients = _explainer(subject).maps_and_gradients(
            model, path, _fed(subject, images), weights
        )
        expected, slopes = _reference(subject, path, images, weights)
        assert maps.dtype == gradients.dtype == np.float32
        assert_close(maps, expected)
        assert_close(gradients, slopes)

    @on("tiny_bn", "tiny_dropout")
    def test_the_input_of_a_part(self, subject: Subject) -> None:
        """Of a linear layer it is what its output is computed from, without dropout."""
        images, learner = batch("entered", 3), subject.learner()
        explainer, fed = _explainer(subject), _fed(subject, images)
        first = "conv" if subject.entry.name == "tiny_bn" else "stem"
        features, pixels = explainer.inputs(learner.model, ["fc", first], fed)
        state = subject.initial()
        assert features.dtype == np.float32
        assert features.shape == (3, state["fc.weight"].shape[1])
        logits = features @ state["fc.weight"].T + state["fc.bias"]
        assert_close(logits, learner.evaluate(images))
        assert_close(pixels.ravel(), normalized(images.images, NORMALIZATION).ravel())

    @on("tiny_bn", "tiny_dropout")
    @pytest.mark.parametrize("frozen", [True, False])
    def test_nothing_of_the_model_changes(self, subject: Subject, frozen: bool) -> None:
        """Neither state, nor later evaluations and training steps, whatever is frozen."""
        others = (name for name in subject.initial() if not name.startswith("fc."))
        plan = FreezePlan(frozenset(filter(is_parameter, others)) if frozen else frozenset())
        settings = TrainingPlan(SGDSpec(), seed=1)
        explained, other = (subject.learner(settings, plan) for _ in range(2))
        assert _lived(explained, subject) == _lived(other, None)

    @on("tiny_bn")
    @pytest.mark.parametrize("path", ["cnov", "", "fc.weight"])
    def test_a_part_that_is_missing_is_an_error(self, subject: Subject, path: str) -> None:
        """``BackendError`` with the path."""
        model, fed = subject.model(), _fed(subject, batch("missing", 2))
        weights = np.ones((2, OUTPUTS), np.float32)
        with pytest.raises(BackendError, match=f"'{path}'"):
            _explainer(subject).maps_and_gradients(model, path, fed, weights)
        with pytest.raises(BackendError, match=f"'{path}'"):
            _explainer(subject).inputs(model, ["conv", path], fed)


def _explainer(subject: Subject) -> Explainer:
    explainer = subject.backend.explainer
    assert explainer is not None, "Backend.explainer is None"
    return explainer


def _fed(subject: Subject, images: Batch) -> Any:
    return next(subject.backend.dataset.feed([images], NORMALIZATION))


def _lived(learner: Learner, explained_by: Subject | None) -> list[Any]:
    """Returns what a model comes to, in bytes; an explanation stands before each step."""
    seen: list[Any] = []
    for number, data in enumerate(batches("lived", [4, 4])):
        if explained_by is not None:
            path = "conv" if "conv.weight" in learner.state() else "stem"
            weights = np.ones((4, OUTPUTS), np.float32)
            fed = _fed(explained_by, data)
            explainer = _explainer(explained_by)
            explainer.maps_and_gradients(learner.model, path, fed, weights)
            explainer.inputs(learner.model, ["fc"], fed)
        seen.append(learner.evaluate(data).tobytes())
        (outputs,) = learner.train([data], [0.1], number)
        seen += [outputs.logits.tobytes(), outputs.loss, in_bytes(learner.state())]
    return seen


def _reference(
    subject: Subject, path: str, images: Batch, weights: NDArray[np.float32]
) -> tuple[Array, Array]:
    """Returns the output of a layer, and the gradients of scores by central differences."""
    net = NETS[subject.entry.name].layers()
    after = 1 + next(i for i, layer in enumerate(net) if getattr(layer, "name", "") == path)
    values = {name: value.astype(np.float64) for name, value in subject.initial().items()}
    maps = forward(net[:after], normalized(images.images, NORMALIZATION), Pass(values))

    def scores(changed: Array) -> Array:
        total: Array = (forward(net[after:], changed, Pass(values)) * weights).sum(1)
        return total

    slopes = np.empty((len(maps), maps[0].size))
    for place in range(maps[0].size):
        step = np.zeros((1, maps[0].size))
        step[0, place] = STEP
        step = step.reshape(1, *maps.shape[1:])
        slopes[:, place] = (scores(maps + step) - scores(maps - step)) / (2 * STEP)
    return maps, slopes.reshape(maps.shape)
