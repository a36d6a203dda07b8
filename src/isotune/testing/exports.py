"""The level of exports: graphs in files compute what the model does, for any number of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.interfaces.exporter import (
    IMAGES,
    LOGITS,
    PROBABILITIES,
    FrameworkExporter,
    GraphRunner,
    GraphSignature,
)
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.head import new_head
from isotune.spec.head import LinearHeadSpec
from isotune.spec.loss import LossName
from isotune.spec.optimizer import SGDSpec
from isotune.testing.contract import Contract, on
from isotune.testing.subject import Learner, Subject, in_bytes
from isotune.testing.values import NORMALIZATION, batch, batches
from isotune.training.probabilities import probabilities

TOLERANCE = 1e-5
"""Largest difference of a logit, relative to the largest logit, and of a probability."""

ALL = ("linear", "tiny_bn", "tiny_dropout", "tiny_convolutional", "tiny_auxiliary")


class Exports(Contract):
    """The level of exports: needs all nets, and the package onnxruntime if it writes ``onnx``.

    Attributes:
        exports: The formats of the backend's offer.
    """

    exports: tuple[str, ...]

    @on(*ALL)
    def test_an_exported_graph_computes_what_the_model_does(
        self, subject: Subject, tmp_path: Path
    ) -> None:
        """Logits and probabilities of any number of images are those of evaluation mode."""
        auxiliary = tuple(path.rpartition(".")[0] for path in subject.entry.auxiliary)
        learner = subject.learner(TrainingPlan(SGDSpec(momentum=0.9), auxiliary=auxiliary))
        learner.train(batches("export", [4, 4]), [0.05, 0.04])
        for form in self.exports:
            check_graph(learner, form, tmp_path / f"graph.{form}", "cross_entropy")

    @on("linear")
    @pytest.mark.parametrize("outputs", [1, 3])
    def test_probabilities_after_binary_cross_entropy(
        self, subject: Subject, outputs: int, tmp_path: Path
    ) -> None:
        """They are sigmoids; those of a single logit are those of two classes."""
        plan = TrainingPlan(SGDSpec(), loss="binary_cross_entropy")
        learner = subject.learner_with(new_head(LinearHeadSpec(), 5, 192, outputs), plan)
        for form in self.exports:
            check_graph(learner, form, tmp_path / f"graph.{form}", "binary_cross_entropy")

    @on("tiny_bn", "tiny_dropout")
    def test_an_export_leaves_the_model_as_it_was(self, subject: Subject, tmp_path: Path) -> None:
        """Training and evaluation go on to the same bytes, with and without an export between."""
        plain, exported = (subject.learner(TrainingPlan(SGDSpec(), seed=5)) for _ in range(2))
        data, rates = batches("between", [4] * 4), [0.05, 0.04, 0.03, 0.02]
        found = []
        for learner in (plain, exported):
            learner.evaluate(data[0])
            learner.train(data[:2], rates[:2])
            shown = repr(learner.model)
            if learner is exported:
                for form in self.exports:
                    _write(learner, form, tmp_path / f"graph.{form}", "cross_entropy")
            assert repr(learner.model) == shown
            logits = learner.evaluate(data[0])
            learner.train(data[2:], rates[2:], first=2)
            found.append((logits.tobytes(), learner.evaluate(data[0]).tobytes(), learner.state()))
        assert found[0][:2] == found[1][:2]
        assert in_bytes(found[0][2]) == in_bytes(found[1][2])
        assert {path.name for path in tmp_path.iterdir()} == {f"graph.{f}" for f in self.exports}

    @on("linear")
    def test_metadata_stays_in_the_file(self, subject: Subject, tmp_path: Path) -> None:
        """It can be added to and replaced, and the graph runs with it as without."""
        learner, exporter = subject.learner(), subject.backend.exporter
        for form in set(self.exports) - {"onnx"}:
            assert isinstance(exporter, FrameworkExporter)
            path = tmp_path / f"graph.{form}"
            _write(learner, form, path, "cross_entropy")
            exporter.annotate(form, path, {"classes": "[]", "name": "ants \u00e9 bees"})
            exporter.annotate(form, path, {"classes": '["ant"]'})
            assert exporter.metadata(form, path) == {
                "classes": '["ant"]',
                "name": "ants \u00e9 bees",
            }
            _check_outputs(learner, exporter.load(form, path), "cross_entropy")


def check_graph(learner: Learner, form: str, path: Path, loss: LossName) -> None:
    """Exports a model and compares the file with it.

    Args:
        learner: The model.
        form: The file's format.
        path: The file, which must not exist.
        loss: The loss of the training.
    """
    _write(learner, form, path, loss)
    if form == "onnx":
        runner = _onnx_runner(path)
    else:
        exporter = learner.backend.exporter
        assert isinstance(exporter, FrameworkExporter)
        runner = exporter.load(form, path)
    _check_outputs(learner, runner, loss)


def _write(learner: Learner, form: str, path: Path, loss: LossName) -> None:
    exporter = learner.backend.exporter
    assert exporter is not None, "a backend whose offer has exports needs an exporter"
    exporter.write(learner.model, form, GraphSignature(8, 8, NORMALIZATION, loss), path)


def _check_outputs(learner: Learner, run: GraphRunner, loss: LossName) -> None:
    for size in (5, 1, 2):  # a batch size that was left in the graph would show
        images = batch(f"exported/{size}", size)
        expected = learner.evaluate(images)
        logits, shares = run(images.images)
        _assert_near(logits, expected, TOLERANCE * float(np.abs(expected).max()))
        _assert_near(shares, probabilities(expected, loss), TOLERANCE)


def _assert_near(actual: NDArray[Any], expected: NDArray[np.float32], tolerance: float) -> None:
    assert actual.dtype == np.float32
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def _onnx_runner(path: Path) -> GraphRunner:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (images,), outputs = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type) == (IMAGES, "tensor(uint8)")
    assert images.shape[1:] == [8, 8, 3]
    assert [output.name for output in outputs] == [LOGITS, PROBABILITIES]
    for value in (images, *outputs):
        assert isinstance(value.shape[0], str), "the batch must be dynamic"

    def run(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, shares = session.run([LOGITS, PROBABILITIES], {IMAGES: pixels})
        return logits, shares

    return run
