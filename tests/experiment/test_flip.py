"""Predictions and evaluations that are averaged with those of mirror images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image as PIL
import pytest
from numpy.typing import NDArray

import isotune
from isotune.errors import DatasetError
from isotune.experiment.classifier import Classifier
from isotune.experiment.result import Run
from isotune.training.evaluation import Evaluation, MultiLabelEvaluation
from several_labels import make_table, several
from tiny import experiment, make_images, numpy_plugins


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("run")
    spec = experiment(make_images(root / "images", val=4), optimizer={"name": "sgd", "lr": 0.1})
    return isotune.run(spec, backend="numpy", output=root / "run", plugins=numpy_plugins())


def pixels(run: Classifier) -> list[NDArray[np.uint8]]:
    """Returns the validation images, which have the size of the network's input."""
    source = run.open_images()
    return [np.asarray(source.load(index)) for index in range(len(source))]


def shares(run: Classifier, images: list[Any], flip: bool = False) -> NDArray[np.float64]:
    """Returns probabilities in the order of the classes: (images, classes)."""
    found = [dict(prediction) for prediction in run.predict_many(images, flip=flip)]
    return np.array([[each[name] for name in run.classes] for each in found])


def mean(run: Classifier) -> NDArray[np.float64]:
    images = pixels(run)
    mirrored = [image[:, ::-1] for image in images]
    usual, others = shares(run, images), shares(run, mirrored)
    assert np.abs(usual - others).max() > 0.01, "the model sees which side is left"
    return (usual + others) / 2


def test_probabilities_are_averaged_and_metrics_are_those_of_the_averages(run: Run) -> None:
    expected = mean(run)
    assert shares(run, pixels(run), flip=True) == pytest.approx(expected, abs=1e-6)
    found = run.evaluate(flip=True)
    assert isinstance(found, Evaluation)
    assert found.probabilities == pytest.approx(expected, abs=1e-6)
    assert found.predicted.tolist() == expected.argmax(axis=1).tolist()
    own = expected[np.arange(len(found.labels)), found.labels]
    assert found.loss == pytest.approx(-np.log(own).mean(), abs=1e-6)
    assert found.accuracy == (expected.argmax(axis=1) == found.labels).mean()
    assert run.mistakes(99, flip=True).count == (found.predicted != found.labels).sum()


def test_a_mirror_image_has_the_same_probabilities(run: Run) -> None:
    for image in pixels(run)[:3]:
        mirrored = PIL.fromarray(image).transpose(PIL.Transpose.FLIP_LEFT_RIGHT)
        assert run.predict(mirrored, flip=True) == run.predict(image, flip=True)


def test_many_images_and_broken_ones_keep_their_places(run: Run, tmp_path: Path) -> None:
    image, other = pixels(run)[:2]
    many = [image, *[other] * (run.batch_size * 2), tmp_path / "missing.png", image]
    found = list(run.predict_each(many, flip=True))
    assert [isinstance(each, DatasetError) for each in found] == [*[False] * (len(many) - 2), 1, 0]
    assert dict(found[0]) == pytest.approx(dict(found[-1]))  # type: ignore[arg-type]


def test_several_labels_are_averaged_each_and_keep_their_thresholds(tmp_path: Path) -> None:
    spec = several(make_table(tmp_path / "data"), epochs=1)
    run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    expected, found = mean(run), run.evaluate(flip=True)
    assert isinstance(found, MultiLabelEvaluation)
    assert found.probabilities == pytest.approx(expected, abs=1e-6)
    assert found.thresholds.tolist() == pytest.approx(list(run.best.thresholds or ()))
    assert found.predicted.tolist() == (found.probabilities >= found.thresholds).tolist()
    logs = np.where(found.positives, np.log(expected), np.log(1 - expected))
    assert found.loss == pytest.approx(-logs.mean(), abs=1e-6)
