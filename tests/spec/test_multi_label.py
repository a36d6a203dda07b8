"""What a spec means, and what it may not say, where an image may have several labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from isotune.errors import SpecError
from isotune.spec.load import dump_spec, load_spec
from several_labels import several
from tiny import experiment

TABLE = Path("table.csv")


def test_defaults_fit_the_labels_and_stay_when_they_are_dumped() -> None:
    spec = load_spec(several(TABLE, loss={"label_smoothing": 0.1}, metrics=["macro_f1"]))
    assert (spec.loss.name, spec.loss.label_smoothing) == ("binary_cross_entropy", 0.1)
    assert spec.metrics == ["macro_f1", "mean_average_precision"]
    assert (spec.threshold, spec.checkpoint.monitor) == ("max_f1", "val_mean_average_precision")
    assert load_spec(dump_spec(spec)) == spec
    named = load_spec(several(TABLE, threshold=0.3, checkpoint={"monitor": "val_loss"}))
    assert (named.threshold, named.checkpoint.monitor) == (0.3, "val_loss")


def test_one_label_an_image_is_as_before() -> None:
    spec = load_spec(experiment(Path("images")))
    assert (spec.loss.name, spec.metrics, spec.threshold) == ("cross_entropy", [], None)
    assert spec.checkpoint.monitor == "val_accuracy"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss": "cross_entropy"}, "loss: cross_entropy is for one label an image"),
        (
            {"head": {"name": "linear", "outputs": "single"}},
            "head: a single output tells two classes apart",
        ),
        (
            {"metrics": ["top5_accuracy"]},
            "metrics: top5_accuracy is not defined where an image may have several labels; what is:"
            " accuracy, exact_match, ",
        ),
        ({"threshold": 1.5}, "threshold is 1.5, but should be max_f1, or a number between 0 and 1"),
        ({"threshold": "best"}, "threshold is 'best', but should be max_f1, or a number"),
    ],
)
def test_what_does_not_fit_several_labels(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(several(TABLE, **changes))
    assert sentence in str(error.value)


def test_what_does_not_fit_one_label() -> None:
    with pytest.raises(SpecError, match=r"threshold: is for images that may have several labels"):
        load_spec(experiment(Path("images"), threshold=0.5))
    with pytest.raises(SpecError, match=r"metrics: exact_match is not defined .* has one label"):
        load_spec(experiment(Path("images"), metrics=["exact_match"]))
