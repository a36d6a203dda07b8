from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isotune
from isotune.data.images import open_images
from isotune.errors import SpecError
from isotune.spec.load import load_spec
from tiny import experiment, make_fewer_bees, make_images, numpy_plugins


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("ISOTUNE_HOME", str(tmp_path / "home"))
    return experiment(make_images(tmp_path / "images"), seed=5)


def shown(figure: Any) -> list[Any]:
    return [axes.images[0].get_array() for axes in figure.axes]


def titles(figure: Any) -> list[str]:
    return [axes.title.get_text() for axes in figure.axes]


@pytest.mark.parametrize(("epoch", "sampler"), [(1, "shuffled"), (3, "balanced")])
def test_they_are_the_batches_that_training_gets(
    spec: dict[str, Any], epoch: int, sampler: str, tmp_path: Path
):
    images = Path(spec["dataset"]["path"])
    few = str(make_fewer_bees(images, tmp_path / "few"))
    spec = {**spec, "sampler": sampler, "dataset": {"path": few}}
    loaded = load_spec(spec)
    images = open_images(loaded)
    batches = list(images.training_batches(loaded).epoch(epoch - 1))
    figure = isotune.show_data(spec, count=100, epoch=epoch)
    pixels = np.concatenate([batch.images for batch in batches])
    assert (np.stack(shown(figure)) == pixels).all()
    labels = np.concatenate([batch.labels for batch in batches])
    assert titles(figure) == [images.classes[label] for label in labels]
    assert "seed 5" in figure.texts[1].get_text()


def test_mixed_batches_are_shown_with_their_shares(spec: dict[str, Any]):
    spec = {**spec, "mixing": {"mixup": 0.4, "cutmix": 1.0, "probability": 0.7}}
    loaded = load_spec(spec)
    batches = list(open_images(loaded).training_batches(loaded).epoch(1))
    figure = isotune.show_data(spec, count=7, epoch=2)
    pixels = np.concatenate([batch.images for batch in batches])[:7]
    assert (np.stack(shown(figure)) == pixels).all()
    shares = np.concatenate([batch.labels for batch in batches])[:7]
    names = np.array(["ants", "bees", "cats"])
    for title, row in zip(titles(figure), shares, strict=True):
        parts = [part.split() for part in title.split(", ")]
        found = [float(part[1]) if len(part) > 1 else 1.0 for part in parts]
        assert found == sorted(found, reverse=True)
        for part, share in zip(parts, found, strict=True):
            assert row[names == part[0]] == pytest.approx(share, abs=0.006)
        assert sum(found) == pytest.approx(1, abs=0.011)
    assert any(", " in title for title in titles(figure))


def test_the_seed_the_count_and_overrides_count(spec: dict[str, Any]):
    first = isotune.show_data(spec, count=4)
    assert len(first.axes) == 4
    other = isotune.show_data(spec, count=4, seed=6)
    assert not (np.stack(shown(first)) == np.stack(shown(other))).all()
    same = isotune.show_data(spec, count=4, overrides=["seed=6"])
    assert (np.stack(shown(same)) == np.stack(shown(other))).all()


def test_validation_images_are_of_all_classes_and_as_they_are_validated(spec: dict[str, Any]):
    loaded = load_spec(spec)
    figure = isotune.show_data(spec, split="val", count=3)
    assert titles(figure) == ["ants", "bees", "cats"]
    [batch] = open_images(loaded).validation_batches(loaded, 32).epoch(0)
    assert (shown(figure)[1] == batch.images[3]).all()


def test_transforms_left_unsaid_are_the_backbones(spec: dict[str, Any]):
    del spec["transforms"]
    figure = isotune.show_data(spec, count=1, plugins=numpy_plugins())
    assert shown(figure)[0].shape == (8, 8, 3)


def test_what_is_not_there_is_told(spec: dict[str, Any]):
    with pytest.raises(SpecError, match="epoch is 0 and count 16, but both should be 1 at least"):
        isotune.show_data(spec, epoch=0)
    with pytest.raises(SpecError, match="there are only 9 training images"):
        isotune.show_data(spec, overrides=["batch_size=100", "drop_last=true"])
