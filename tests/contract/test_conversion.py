"""What one framework saves, `convert` makes another load, and the logits are the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
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
        for first, second in permutations(able, 2):
            way = f"{name}-{first.backend.name}-{second.backend.name}"
            yield pytest.param(first, second, id=way)


def logits(subject: Subject, model: Any) -> NDArray[np.float32]:
    return subject.learner_of(model).evaluate(subject.images)


def difference(first: Subject, second: Subject, folder: Path) -> float:
    """Takes weights from the first to the second backend and back; returns how far logits are."""
    checkpoints, model = first.backend.state_adapter, first.model()
    values = state({name: v.shape for name, v in checkpoints.export_model(model).items()})
    checkpoints.import_model(model, values)
    there, back = FORMATS[second.backend.name], FORMATS[first.backend.name]
    paths = [
        folder / f"{name}.{kind.suffix}" for name, kind in (("a", back), ("b", there), ("c", back))
    ]
    back.save(model, paths[0])
    assert isotune.convert(paths[0], paths[1]).backbone == first.entry.name

    other = second.model()
    there.load(other, paths[1])
    expected, found = logits(first, model), logits(second, other)

    isotune.convert(paths[1], paths[2])
    again = first.model()
    back.load(again, paths[2])
    assert in_bytes(checkpoints.export_model(again)) == in_bytes(values)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("first", "second"), pairs(NAMES))
def test_logits_survive_the_way_there_and_back(
    first: Subject, second: Subject, tmp_path: Path
) -> None:
    assert difference(first, second, tmp_path) < RELATIVE


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
