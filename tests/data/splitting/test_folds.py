"""Folds keep identical images and groups together, and have equal shares of everything else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from isotune.data.splitting.folds import fold_numbers
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource, Labels
from isotune.spec.fold import FoldSpec


class Known(ImageSource):
    """Images of which only labels, contents and groups are known."""

    def __init__(self, labels: Labels, contents: NDArray[np.int64], groups: object = None) -> None:
        self.classes = tuple("abcdef")
        self.labels = labels
        self._digests = np.zeros((len(labels), 16), np.uint8)
        # Multiplied, so that the order of digests is not that of the contents.
        self._digests[:, :8] = (
            ((contents + 1) * 0x9E3779B97F4A7C15 % 2**64).astype(np.uint64)[:, None].view(np.uint8)
        )
        self.groups = None if groups is None else np.asarray(groups, np.int32)

    def load(self, index: int) -> Image.Image:
        raise NotImplementedError

    def identify(self, index: int) -> str:
        return str(index)

    def digests(self) -> NDArray[np.uint8]:
        return self._digests


@st.composite
def sources(draw: st.DrawFn, several: bool) -> Known:
    """Draws images of six classes, some of them identical, in groups across classes."""
    each = draw(st.integers(8, 14))
    labels: Labels = np.repeat(np.arange(6, dtype=np.int32), each)
    count = len(labels)
    if several:
        more = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
        labels = np.eye(6, dtype=np.float32)[labels].clip(0, 1)
        labels[np.arange(count), more] = 1
    contents = np.arange(count)
    for one, other in draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=4)):
        contents[one] = contents[other]
    groups = np.arange(count) // draw(st.integers(1, 2))
    order = np.array(draw(st.permutations(range(count))))
    return Known(labels[order], contents[order].astype(np.uint64), groups[order])


@given(data=st.data(), folds=st.integers(2, 4), by=st.sampled_from(["label", "group"]))
def test_units_stay_together_and_the_order_of_images_does_not_matter(
    data: st.DataObject, folds: int, by: str
) -> None:
    source = data.draw(sources(data.draw(st.booleans())))
    spec = FoldSpec(number=1, folds=folds, by=by, seed=data.draw(st.integers(0, 9)))
    try:
        numbers = fold_numbers(source, spec)
    except DatasetError as error:
        assert f"{folds} folds need as many" in str(error)
        return
    assert set(numbers.tolist()) == set(range(1, folds + 1))
    for keys in (source.digests().tolist(), source.groups if by == "group" else ()):
        found: dict[object, int] = {}
        for key, number in zip(map(str, keys), numbers, strict=False):
            assert found.setdefault(key, number) == number
    order = np.array(data.draw(st.permutations(range(len(source)))))
    other = Known(source.labels[order], np.arange(len(source)))
    other._digests = source.digests()[order]
    assert source.groups is not None
    other.groups = source.groups[order] + 7
    np.testing.assert_array_equal(fold_numbers(other, spec), numbers[order])


@given(
    counts=st.lists(st.integers(5, 30), min_size=2, max_size=6),
    folds=st.integers(2, 5),
    seed=st.integers(0, 2**63 - 1),
)
def test_folds_of_different_images_differ_by_one_at_most(
    counts: list[int], folds: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    source = Known(labels, np.arange(len(labels)).astype(np.uint64))
    source.classes = source.classes[: len(counts)]
    numbers = fold_numbers(source, FoldSpec(number=1, folds=folds, seed=seed))
    for chosen in (labels >= 0, *(labels == label for label in range(len(counts)))):
        sizes = np.bincount(numbers[chosen], minlength=folds + 1)[1:]
        assert sizes.max() - sizes.min() <= 1


def test_a_seed_selects_the_folds() -> None:
    source = Known(np.repeat(np.arange(6, dtype=np.int32), 10), np.arange(60).astype(np.uint64))
    first, same, other = (
        fold_numbers(source, FoldSpec(number=1, folds=5, seed=seed)).tolist() for seed in (0, 0, 1)
    )
    assert first == same != other


def test_too_few_images_or_groups_of_a_class_are_named() -> None:
    labels = np.repeat(np.arange(6, dtype=np.int32), [9, 9, 9, 2, 9, 9])
    source = Known(labels, np.arange(len(labels)).astype(np.uint64))
    with pytest.raises(DatasetError, match="3 folds need as many different images of each class: "
                       r"class 'd' has 2\."):  # fmt: skip
        fold_numbers(source, FoldSpec(number=1, folds=3))
    grouped = FoldSpec(number=1, folds=2, by="group")
    with pytest.raises(DatasetError, match="the images have no groups"):
        fold_numbers(source, grouped)
    source.groups = np.where(labels == 4, 0, np.arange(len(labels))).astype(np.int32)
    with pytest.raises(DatasetError, match=r"2 folds need as many groups .*: class 'e' has 1"):
        fold_numbers(source, grouped)
