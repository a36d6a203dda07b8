"""The classic LeNet of MindSpore, for gray digits and without biases, loads into each backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.interfaces.dataset import Batch, Normalization
from isotune.testing.subject import Subject
from isotune.testing.values import words
from isotune.weights.formats.read import read_weights

ABSOLUTE = 1e-5
EVEN = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def gray_batch() -> Batch:
    pixels = (words("gray", 4 * 32 * 32) % np.uint64(256)).astype(np.uint8)
    images = np.repeat(pixels.reshape(4, 32, 32, 1), 3, axis=3)
    return Batch(images, np.zeros(4, np.int32))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Trains MindSpore's LeNet a step, saves it with its optimizer, and returns its logits."""
    pytest.importorskip("mindspore")
    from contract.gray_lenet_mindspore import logits_of_a_saved_lenet

    path = tmp_path_factory.mktemp("lenet") / "lenet.ckpt"
    gray = gray_batch().images[..., :1].astype(np.float32) / 255
    images = (gray.transpose(0, 3, 1, 2) - 0.5) / 0.25
    return path, logits_of_a_saved_lenet(path, images)


@pytest.mark.nets("lenet")
def test_its_logits_are_the_same(subject: Subject, saved: tuple[Path, Any], tmp_path: Path) -> None:
    path, expected = saved
    assert np.ptp(expected) > 0.01  # not all the same, nor zero
    done = isotune.convert(path, tmp_path / "lenet.safetensors")
    assert (done.backbone, done.tensors) == ("lenet", 10)
    assert "12 tensors (moments.* (8), global_step" in done.notes[0]
    backend, model = subject.backend, subject.model()
    backend.state_adapter.import_model(model, read_weights(done.target))
    learner = subject.learner_of(model)
    fed = backend.dataset.feed([gray_batch()], EVEN)
    outputs = learner.trainer.fetch([learner.trainer.eval_step(batch) for batch in fed])
    np.testing.assert_allclose(outputs[0].logits, expected, rtol=0, atol=ABSOLUTE)
    assert len(learner.state()) == 10
