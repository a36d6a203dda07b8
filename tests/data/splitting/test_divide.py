from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import isotune
from isotune.data.sources.folder import FolderDataset
from isotune.data.splitting.divide import divide
from isotune.data.splitting.partition import shares
from isotune.data.splitting.units import find_units
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource, Labels
from isotune.spec.split import SplitSpec
from tiny import make_images

CLASSES = ("ants", "bees", "cats")


class Listed(ImageSource):
    """Images of which only labels, contents and groups are known."""

    classes = CLASSES

    def __init__(
        self, labels: Any, contents: list[int], groups: list[int] | None = None, names: int = 0
    ) -> None:
        self.labels: Labels = np.asarray(labels)
        self.contents = np.array(contents)
        self.groups = None if groups is None else np.array(groups, np.int32)
        self._names = names

    def load(self, index: int) -> Image.Image:
        raise NotImplementedError

    def identify(self, index: int) -> str:
        return f"{self._names + index}.png"

    def digests(self) -> NDArray[np.uint8]:
        # Their order is neither that of the contents nor that of the images.
        words = [int(content + 1) * 0x9E3779B97F4A7C15 % 2**64 for content in self.contents]
        return np.array([words, words], ">u8").T.copy().view(np.uint8)

    def reordered(self, order: NDArray[np.int64]) -> Listed:
        """The same images under other names, in another order, with other numbers of groups."""
        groups = None if self.groups is None else (7 * self.groups[order] + 3).tolist()
        return Listed(self.labels[order], self.contents[order].tolist(), groups, names=1000)


def sides(source: ImageSource, split: SplitSpec) -> list[str]:
    """Returns the split of each image; ``""`` for none."""
    found = [""] * len(source)
    for name, subset in divide(source, split).items():
        for index in subset._indices.tolist():
            assert not found[index]
            found[index] = name
    return found


@st.composite
def images(draw: st.DrawFn) -> Listed:
    """Images with copies in other groups and classes; some have several labels or none."""
    count = draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    contents, groups = (random.integers(0, draw(st.integers(1, 80)), count) for _ in range(2))
    if draw(st.booleans()):
        labels = (random.random((count, 3)) < draw(st.floats(0.05, 0.9))).astype(np.float32)
    else:
        labels = random.integers(0, 3, count).astype(np.int32)
    return Listed(labels, contents.tolist(), groups.tolist())


def splits(*sizes: float) -> st.SearchStrategy[SplitSpec]:
    return st.builds(
        SplitSpec,
        val=st.sampled_from(sizes),
        test=st.sampled_from([None, *sizes]),
        train=st.sampled_from([None, *sizes]),
        by=st.sampled_from(["label", "group"]),
        seed=st.integers(0, 2**64 - 1),
    )


SPLITS = splits(0.1, 0.2, 0.3) | splits(1, 2, 5)


@given(images(), SPLITS, st.randoms(use_true_random=False))
def test_no_content_and_no_group_is_divided_and_sizes_are_met(
    source: Listed, split: SplitSpec, random: Any
) -> None:
    try:
        found = sides(source, split)
    except DatasetError as error:
        assert "too few" in str(error) or "in another class, too" in str(error)
        return
    together = [source.contents, source.groups] if split.grouped else [source.contents]
    for numbers in together:
        assert numbers is not None
        assert len(set(zip(numbers.tolist(), found, strict=True))) == len(set(numbers.tolist()))
    if split.train is None:
        assert "" not in found
    order = np.array(random.sample(range(len(source)), len(source)))
    assert sides(source.reordered(order), split) == [found[index] for index in order]
    check_sizes_within_a_unit(source, split, found)


def check_sizes_within_a_unit(source: Listed, split: SplitSpec, found: list[str]) -> None:
    units = find_units(source, split.grouped)
    first = np.unique(units.contents, return_index=True)[1]
    chosen, totals = np.array(found)[first], units.class_counts().tolist()
    wanted = [shares(split.sizes, total) for total in totals if total]
    if source.labels.ndim == 1 and not split.grouped:
        for label, parts in zip(np.flatnonzero(totals), wanted, strict=True):
            mine = chosen[units.pairs[units.pairs[:, 1] == label, 0]]
            assert all(abs(np.sum(mine == name) - parts[name]) < 1 for name in parts)
    elif isinstance(split.val, float) or source.labels.ndim == 1:
        # Where images are left over, they are like a fourth split that is not counted.
        most = np.bincount(units.unit_of).max() * (1 if split.train is None else 1.5)
        scale = len(first) / max(sum(totals), 1)
        for name in split.sizes:
            number = scale * float(sum(parts[name] for parts in wanted))
            assert not wanted or abs(np.sum(chosen == name) - number) <= most + 1e-6


def test_groups_are_stratified_and_the_seed_chooses() -> None:
    random = np.random.default_rng(0)
    sizes = random.integers(1, 30, 200)
    groups = np.repeat(np.arange(200), sizes)
    labels = np.repeat(random.choice(3, 200, p=[0.7, 0.2, 0.1]), sizes).astype(np.int32)
    source = Listed(labels, list(range(len(labels))), groups.tolist())
    results = []
    for seed in (0, 1):
        split = SplitSpec(val=0.2, test=0.1, by="group", seed=seed)
        results.append(np.array(sides(source, split)))
        for name, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
            mine = results[-1] == name
            for label in range(3):
                there, all_ = np.sum(mine & (labels == label)), np.sum(labels == label)
                assert abs(there / all_ - share) < 0.02
            # Large groups are in every split, not only in the largest one.
            assert abs(sizes[np.unique(groups[mine])].mean() - sizes.mean()) < 3
    assert 0.3 < np.mean(results[0] == results[1]) < 0.8


def test_several_labels_are_stratified() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((600, 3)) < [0.5, 0.2, 0.02]).astype(np.float32)
    found = np.array(sides(Listed(labels, list(range(600))), SplitSpec(val=0.2, test=0.2)))
    for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        present = labels[found == name].sum(axis=0)
        assert np.abs(present - share * labels.sum(axis=0)).max() <= 1


def test_the_spec_and_the_command_divide_the_same(tmp_path: Path) -> None:
    make_images(tmp_path, train=23, val=0)
    folder = tmp_path / "train"
    shutil.copy(folder / "ants" / "3.png", folder / "bees" / "same.png")
    shutil.copy(folder / "ants" / "4.png", folder / "ants" / "again.png")
    (folder / "cats" / "broken.png").write_bytes(b"")
    for sizes in ({"train": 0.6, "val": 0.3, "test": 0.1}, {"train": 9, "val": 4}):
        isotune.split(folder, tmp_path / f"{len(sizes)}", **sizes, seed=3)
        (folder / "cats" / "broken.png").unlink(missing_ok=True)
        parts = divide(FolderDataset(path="-").open_all(folder), SplitSpec(**sizes, seed=3))
        for name, part in parts.items():
            written = FolderDataset(path="-").open(tmp_path / f"{len(sizes)}", name)
            assert contents(part) == contents(written)
    rest = divide(FolderDataset(path="-").open_all(folder), SplitSpec(val=0.3, test=0.1, seed=3))
    assert contents(rest["train"]) == contents(
        FolderDataset(path="-").open(tmp_path / "3", "train")
    )


def contents(source: ImageSource) -> set[tuple[str, bytes]]:
    """Returns the class and the digest of each different image."""
    digests = source.digests()
    assert digests is not None
    names = [source.classes[label] for label in source.labels]
    return {(name, digest.tobytes()) for name, digest in zip(names, digests, strict=True)}


def test_what_cannot_be_divided_is_named(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.array([0] * 8 + [1] * 8 + [2] * 2, np.int32)
    contents = list(range(18))
    for split, sentence in {
        SplitSpec(val=0.2): "0.2 of the 2 of 'cats' is none for val",
        SplitSpec(val=2): "the rest of the 2 of 'cats' is none for train",
        SplitSpec(val=2, test=1): "class 'cats' has 2, and 3 are requested",
        SplitSpec(val=0.2, by="group"): "the images have no groups",
    }.items():
        with pytest.raises(DatasetError, match=sentence):
            divide(Listed(labels, contents), split)
    for groups, split, sentence in (
        ([0] * 18, SplitSpec(val=0.2, by="group"), "too few groups to divide: none is left for"),
        (labels.tolist(), SplitSpec(val=0.45, by="group"), "none is in train, which needs each"),
        (labels.tolist(), SplitSpec(val=3, by="group"), "class 'cats' has 2, and 3 are requested"),
    ):
        with pytest.raises(DatasetError, match=sentence):
            divide(Listed(labels, contents, groups), split)
    with caplog.at_level(logging.WARNING):
        groups = [*range(16), 16, 16]
        divide(Listed(labels, contents, groups), SplitSpec(val=0.2, by="group"))
    assert caplog.messages == ["there are too few groups with 'cats': none is in val."]
