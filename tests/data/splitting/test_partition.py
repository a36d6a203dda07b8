from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isotune.data.splitting.partition import counts, partition
from isotune.errors import DatasetError, SpecError
from isotune.spec.split import check_sizes

NAMES = ("train", "val", "test")
TOTALS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), min_size=1)
SIZES = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 20), min_size=1)
TENTHS = st.lists(st.integers(1, 8), min_size=1, max_size=3).filter(lambda parts: sum(parts) <= 10)
SEEDS = st.integers(0, 2**64 - 1)


@given(TENTHS, TOTALS)
def test_fractions_are_off_by_less_than_a_image(parts: list[int], totals: dict[str, int]) -> None:
    sizes = {name: part / 10 for name, part in zip(NAMES, parts, strict=False)}
    check_sizes(sizes)
    try:
        found = counts(sizes, totals)
    except DatasetError as error:
        assert "is none for" in str(error)
        assume(False)
    for name, total in totals.items():
        for split, part in zip(sizes, parts, strict=True):
            assert abs(found[split][name] - Fraction(part, 10) * total) < 1
        used = sum(found[split][name] for split in sizes)
        assert used <= total
        assert used == total or sum(parts) < 10


@given(SIZES, TOTALS)
def test_counts_are_kept_or_the_numbers_told(sizes: dict[str, int], totals: dict[str, int]) -> None:
    short = {name for name, total in totals.items() if total < sum(sizes.values())}
    if not short:
        assert counts(sizes, totals) == {
            split: dict.fromkeys(totals, size) for split, size in sizes.items()
        }
        return
    with pytest.raises(DatasetError) as error:
        counts(sizes, totals)
    for name in totals:
        message = f"class '{name}' has {totals[name]}, and {sum(sizes.values())} are requested"
        assert (message in str(error.value)) == (name in short)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "needs a size"),
        ({"train": 0}, "above 0"),
        ({"train": -0.5}, "above 0"),
        ({"train": math.nan}, "above 0"),
        ({"train": math.inf}, "above 0"),
        ({"train": 0.8, "test": 0.3}, "should sum to at most 1, not train 0.8, test 0.3"),
        ({"train": 0.8, "test": 300}, "all be counts or all be fractions"),
        ({"train": 1.5}, "should sum to at most 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_sizes(sizes)


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, dict[str, int]]]:
    """Classes that share some images, and numbers that they have enough for."""
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
    shared = [f"shared{number}" for number in range(draw(st.integers(0, 6)))]
    classes = {}
    for name in names:
        own = [f"{name}{number}" for number in range(draw(st.integers(0, 20)))]
        more = draw(st.lists(st.sampled_from(shared), unique=True)) if shared else []
        classes[name] = own + more
    assume(all(classes.values()))
    wanted: dict[str, dict[str, int]] = {split: {} for split in NAMES}
    for name, images in classes.items():
        left = len(images)
        for split in NAMES:
            wanted[split][name] = draw(st.integers(0, left))
            left -= wanted[split][name]
    return classes, wanted


@given(cases(), SEEDS, st.randoms(use_true_random=False))
def test_splits_have_their_numbers_and_share_no_image(
    case: tuple[dict[str, list[str]], dict[str, dict[str, int]]], seed: int, random: Random
) -> None:
    classes, wanted = case
    try:
        chosen = partition(classes, wanted, seed)
    except DatasetError as error:
        assert "in another class, too" in str(error)
        assert any("shared" in image for images in classes.values() for image in images)
        return
    sides: dict[str, str] = {}
    for split, by_class in chosen.items():
        for name, images in by_class.items():
            assert len(set(images)) == len(images) == wanted[split][name]
            assert set(images) <= set(classes[name])
            for image in images:
                assert sides.setdefault(image, split) == split
    shuffled = {
        name: random.sample(classes[name], len(classes[name]))
        for name in random.sample(list(classes), len(classes))
    }
    assert partition(shuffled, wanted, seed) == chosen


def test_the_seed_chooses_and_all_images_have_the_same_chance() -> None:
    classes = {"a": [str(number) for number in range(20)]}
    wanted = {"train": {"a": 5}, "test": {"a": 5}}
    often = dict.fromkeys(classes["a"], 0)
    for seed in range(2000):
        chosen = partition(classes, wanted, seed)
        for image in chosen["train"]["a"]:
            often[image] += 1
    # 500 are expected, with a standard deviation of 19.4.
    assert 400 < min(often.values()) < max(often.values()) < 600


def test_the_choice_is_the_same_for_ever() -> None:
    classes = {"a": [f"{number:02}" for number in range(8)]}
    assert partition(classes, {"train": {"a": 3}, "test": {"a": 2}}, 7) == {
        "train": {"a": ["03", "06", "00"]},
        "test": {"a": ["04", "05"]},
    }
