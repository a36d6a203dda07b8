"""Copies among images with groups and with several labels, in a source without files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from isotune.data.integrity.copies import copies
from isotune.data.integrity.findings import ExaminedSplit
from isotune.data.integrity.looks import look
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource, Labels


class Scenes(ImageSource):
    """Images by the number of their scene; a negative one is mirrored, and 0 cannot be read.

    Args:
        scenes: The numbers.
        labels: The labels.
        groups: The groups.
        digested: Whether there are digests.
    """

    classes = ("a", "b", "c")

    def __init__(
        self,
        scenes: list[int],
        labels: Labels,
        groups: list[int] | None = None,
        digested: bool = True,
    ) -> None:
        self.scenes, self.labels, self.digested = scenes, labels, digested
        self.groups = None if groups is None else np.array(groups, np.int32)

    def load(self, index: int) -> Image.Image:
        number = self.scenes[index]
        if not number:
            raise DatasetError("no image")
        generator = np.random.default_rng(abs(number))
        coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        image = coarse.resize((80, 60), Image.Resampling.BICUBIC)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number < 0 else image

    def identify(self, index: int) -> str:
        return f"scene {self.scenes[index]}"

    def digests(self) -> NDArray[np.uint8] | None:
        if not self.digested:
            return None
        numbers = np.array(self.scenes, np.int64).view(np.uint8).reshape(-1, 8)
        return np.concatenate([numbers, numbers], axis=1)


def found(*sources: Scenes) -> dict[str, list[list[str]]]:
    splits = [
        ExaminedSplit(name, source, look(source, f"{id(source)}"))
        for name, source in zip(("train", "val"), sources, strict=False)
    ]
    return {
        finding.kind: [
            [f"{image.split} {image.index}" for image in offender.images]
            for offender in finding.offenders
        ]
        for finding in copies(splits, "warn")
    }


ONE = np.zeros(6, np.int32)


def test_copies_in_several_groups_are_found() -> None:
    source = Scenes([1, 1, 2, -2, 3, 3], ONE, groups=[0, 1, 2, 3, 4, 4])
    assert found(source) == {
        "duplicates-across-groups": [["train 0", "train 1"]],
        "duplicates": [["train 4", "train 5"]],
        "near-duplicates-across-groups": [["train 2", "train 3"]],
    }


def test_groups_of_two_splits_are_not_compared() -> None:
    val = Scenes([4, 5], ONE[:2], groups=[1, 1])
    assert found(Scenes([4, 6], ONE[:2], groups=[0, 0]), val) == {
        "duplicates-across-splits": [["train 0", "val 0"]]
    }


def test_images_with_several_labels_differ_if_any_does() -> None:
    labels = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    assert found(Scenes([1, 1, 2, 2, 0], labels)) == {
        "duplicates-across-classes": [["train 2", "train 3"]],
        "duplicates": [["train 0", "train 1"]],
    }


@pytest.mark.parametrize("digested", [True, False])
def test_without_digests_equal_images_look_alike(digested: bool) -> None:
    kind = "duplicates" if digested else "near-duplicates"
    expected: Any = {kind: [["train 1", "train 2"]]}
    assert found(Scenes([0, 7, 7, 0], ONE[:4], digested=digested)) == expected
