"""Explanations of a run: both backends against NumPy, on nets whose gradients are plain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from PIL import Image

import zoo
from isotune.errors import BackendError, DatasetError, SpecError
from isotune.experiment.result import Run
from isotune.explaining.geometry import enlarged
from isotune.interfaces.backend import Backend
from isotune.testing.nets import NETS
from isotune.testing.reference.layers import Pass, forward
from isotune.testing.reference.trainer import normalized
from isotune.testing.subject import in_bytes
from isotune.testing.values import NORMALIZATION
from tiny import experiment, make_images

BINARY = {"head": {"name": "linear", "outputs": "single"}, "loss": "binary_cross_entropy"}


def trained(backend: str, folder: Path, **changes: Any) -> Run:
    """Returns a run of ``tiny_bn``, whose stage ``stem`` ends in BatchNorm."""
    images = make_images(folder / "images", val=4)
    spec = experiment(
        images,
        backbone={"name": "tiny_bn", "weights": "none"},
        normalization={"mean": NORMALIZATION.mean, "std": NORMALIZATION.std},
        epochs=1,
        eval_batch_size=5,
        **changes,
    )
    return zoo.run(backend, spec, folder / "run")


@pytest.fixture(scope="module", params=zoo.FRAMEWORKS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp(request.param)
        patch.setenv("ISOTUNE_HOME", str(folder / "home"))
        return trained(request.param, folder)


def paths(run: Run) -> list[Path]:
    return sorted(Path(run.spec.dataset.path).glob("val/*/*.png"))


def expected(run: Run, image: NDArray[np.uint8], label: int) -> NDArray[np.float32]:
    """Returns Grad-CAM after BatchNorm, where ReLU, the mean and a linear layer follow."""
    state = run.backend.state_adapter.export_model(run.model)
    values = {name: value.astype(np.float64) for name, value in state.items()}
    (maps,) = forward(
        NETS["tiny_bn"].layers()[:2], normalized(image[None], NORMALIZATION), Pass(values)
    )
    gradients = values["fc.weight"][label][:, None, None] * (maps > 0) / maps[0].size
    weights = gradients.mean((1, 2), keepdims=True)
    return enlarged(np.maximum((weights * maps).sum(0), 0), *image.shape[:2])


def test_grad_cam_is_that_of_the_weights_for_any_class(run: Run):
    images = paths(run)
    state, before = in_bytes(run.backend.state_adapter.export_model(run.model)), run.predict(images)
    for class_name in (None, "bees"):
        found = run.explain_many(images, class_name)
        assert [each.identity for each in found] == [str(path) for path in images]
        assert any((each.heat > 0).any() for each in found)
        for each, path, (best, *_) in zip(found, images, before, strict=True):
            assert (each.image == np.asarray(Image.open(path))).all()
            assert (each.predicted, each.probability) == best
            assert each.explained == (class_name or each.predicted)
            assert (each.method, each.stage) == ("Grad-CAM", "stem")
            label = run.classes.index(each.explained or "")
            assert_allclose(each.heat, expected(run, each.image, label), atol=1e-5)
    assert in_bytes(run.backend.state_adapter.export_model(run.model)) == state
    assert run.predict(images) == before


def test_an_image_comes_in_any_way_and_is_seen_as_the_network_sees_it(run: Run):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    explanation = run.explain(pixels)
    assert explanation.image.shape == (8, 8, 3)
    assert explanation.heat.shape == (8, 8)
    assert explanation.identity == "images[0]"
    same = run.explain(Image.fromarray(pixels), stage="bn")
    assert (same.heat == explanation.heat).all()
    assert same.stage == "bn"
    with pytest.raises(DatasetError, match=r"nothing\.png: there is no such image"):
        run.explain("nothing.png")
    assert run.explain_many([]) == []


def test_what_there_is_not_is_told(run: Run):
    image = paths(run)[0]
    with pytest.raises(SpecError, match=r"class: the run has no class 'bee'\. Did you mean 'bees'"):
        run.explain(image, "bee")
    with pytest.raises(SpecError, match=r"'tiny_bn' has no stage 'stage1'\. .*are: stem"):
        run.explain(image, stage="stage1")
    with pytest.raises(SpecError, match=r"'fc' has the shape \(3,\) for each image"):
        run.explain(image, stage="fc")
    other: Any = object.__new__(type(run.backend))
    vars(other).update({**vars(run.backend), "explainer": None})
    assert isinstance(other, Backend)
    with pytest.raises(BackendError, match=f"the {run.backend.name} backend has no explainer"):
        replace(run, backend=other).explain(image)


def test_mistakes_are_explained_by_the_class_that_was_predicted(run: Run):
    mistakes = run.mistakes(count=3)
    assert mistakes.shown
    figure = run.show_mistakes(count=3, explain=True)
    assert len(figure.axes) == len(mistakes.shown)
    assert "Grad-CAM at stem" in figure.texts[1].get_text()
    for axes, mistake in zip(figure.axes, mistakes.shown, strict=True):
        (drawn,) = axes.get_images()
        explanation = run.explain(mistake.identity)
        assert explanation.predicted == mistake.predicted
        assert (np.asarray(drawn.get_array())[:, -8:] == explanation.overlay()).all()


def test_a_figure_has_the_images_that_are_given_or_those_of_a_split(run: Run):
    figure = run.show_explanations(count=3, class_name="cats")
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 3
    assert "speaks for cats" in figure.texts[1].get_text().replace("\n", " ")
    figure = run.show_explanations(paths(run)[:2])
    assert len(figure.axes) == 2
    assert not any("true" in axes.get_title() for axes in figure.axes)


def test_what_speaks_for_one_class_of_a_single_output_speaks_against_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tiny.CLASSES", {"ants": 60, "bees": 180})
    run = trained("torch", tmp_path, **BINARY)
    images = paths(run)
    ants, bees = (run.explain_many(images, name) for name in ("ants", "bees"))
    for one, other in zip(ants, bees, strict=True):
        assert one.heat.any() or other.heat.any()
        assert not (one.heat * other.heat > 0.5).any()
        positive = expected(run, one.image, 0)  # the single output's own
        assert_allclose(other.heat, positive, atol=1e-5)
