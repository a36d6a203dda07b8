"""What one framework saves, `convert` makes another load, and the logits are the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import isotune
import zoo
from contract.installed import subjects
from contract.natively import FORMATS
from isotune.testing.subject import Subject, in_bytes
from isotune.testing.values import state
from tiny import experiment, make_images

NAMES = ("efficientnet_lite0", "lenet", "mobilenet_v2", "resnet18")
RELATIVE = 1e-5
"""How far logits may be apart, for the largest of them."""


def pairs(names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        able = [
            subject
            for subject in subjects().values()
            if subject.entry.name == name and subject.backend.name in FORMATS
        ]
        for first, second in combinations(able, 2):
            way = f"{name}-{first.backend.name}-{second.backend.name}"
            yield pytest.param(first, second, id=way)


def logits(subject: Subject, model: Any) -> NDArray[np.float32]:
    return subject.learner_of(model).evaluate(subject.images)


def converted(subject: Subject, model: Any, other: Subject, folder: Path) -> Any:
    """Saves a model's weights natively, and returns what loads them natively once converted.

    Converted back, they are what was saved, to the byte.
    """
    native, foreign = FORMATS[subject.backend.name], FORMATS[other.backend.name]
    saved, there = folder / f"a.{native.suffix}", folder / f"b.{foreign.suffix}"
    native.save(model, saved)
    assert isotune.convert(saved, there).backbone == subject.entry.name
    loaded = other.model()
    foreign.load(loaded, there)

    back = folder / f"c.{native.suffix}"
    isotune.convert(there, back)
    again = subject.model()
    native.load(again, back)
    export = subject.backend.state_adapter.export_model
    assert in_bytes(export(again)) == in_bytes(export(model))
    return loaded


@pytest.mark.parametrize(("first", "second"), pairs(NAMES))
def test_logits_survive_the_way_there_and_back(
    first: Subject, second: Subject, tmp_path: Path
) -> None:
    adapter, model = first.backend.state_adapter, first.model()
    values = state(adapter.model_shapes(model))
    adapter.import_model(model, values)
    expected = logits(first, model)
    # Each way begins with what the framework itself has saved.
    for folder in ("there", "back"):
        (tmp_path / folder).mkdir()
    there = converted(first, model, second, tmp_path / "there")
    found = logits(second, there)
    back = converted(second, there, first, tmp_path / "back")
    assert in_bytes(adapter.export_model(back)) == in_bytes(values)
    assert np.abs(found - expected).max() < RELATIVE * np.abs(expected).max()


def test_exports_of_a_run_are_loaded_strictly(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    spec = experiment(make_images(tmp_path / "images", size=32), epochs=1, batch_size=9)
    spec["transforms"] = {key: [{"resize": [32, 32]}] for key in ("train", "val")}
    spec |= {"backbone": {"name": "mnasnet0_5", "weights": "none"}}
    spec |= {"checkpoint": {"save_best_as": "best.pth"}}
    zoo.run("torch", spec, tmp_path / "run")
    isotune.convert(tmp_path / "run", tmp_path / "converted.pth")
    for path in (tmp_path / "run" / "best.pth", tmp_path / "converted.pth"):
        FORMATS["torch"].load(torchvision.models.mnasnet0_5(num_classes=3), path)
