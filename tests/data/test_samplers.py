"""Samplers: what an epoch draws."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isotune.data.samplers import balanced_order, repeats, sampled
from isotune.randomness import epoch_order

SEEDS = st.integers(0, 2**63 - 1)
LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


def spread(counts: np.ndarray) -> int:
    return int(counts.max() - counts.min())


@given(seed=SEEDS, start=st.integers(0, 1000), epochs=st.integers(1, 4), classes=LABELS)
def test_classes_and_their_images_are_drawn_equally_often(
    seed: int, start: int, epochs: int, classes: list[int]
) -> None:
    labels = np.array(classes, np.int32)
    orders = [balanced_order(seed, epoch, labels) for epoch in range(start, start + epochs)]
    assert {len(order) for order in orders} == {len(labels)}
    for drawn in (orders[0], np.concatenate(orders)):  # in an epoch, and over several
        counts = np.bincount(drawn, minlength=len(labels))
        of_classes = [counts[labels == label] for label in np.unique(labels)]
        assert spread(np.array([each.sum() for each in of_classes])) <= 1
        assert max(spread(each) for each in of_classes) <= 1


def test_orders_are_a_promise() -> None:
    """These numbers were written down once and never change."""
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 0], np.int32)
    assert balanced_order(0, 0, labels).tolist() == [7, 6, 8, 9, 0, 2, 8, 8, 6, 3]
    many = np.arange(5000, dtype=np.int32) ** 2 % 7
    order = balanced_order(2**63 - 1, 99, many)
    assert order.dtype == np.int64
    assert crc32(order.astype("<i8").tobytes()) == 928193624
    orders = {tuple(balanced_order(s, e, labels)) for s in range(5) for e in range(5)}
    assert len(orders) == 25
    assert np.array_equal(sampled("shuffled", 3, 4, labels), epoch_order(3, 4, 10))
    assert np.array_equal(sampled("balanced", 3, 4, labels), balanced_order(3, 4, labels))


def test_of_several_labels_each_takes_its_turn_and_none_is_one_more_class() -> None:
    labels = np.zeros((40, 4), np.float32)
    labels[:30, 0] = labels[5:10, 1] = labels[9, 2] = 1  # and of the fourth class there is none
    order = balanced_order(1, 2, labels)
    counts = np.bincount(order, minlength=40)
    assert counts[30:].sum() == 10, "a quarter of the draws"
    assert counts[9] in (12, 13), "the third class's 10, the second's 2, perhaps the first's 1"
    assert 8 <= counts[5:9].sum() <= 12, "the second class's 8, and some of the first's"


@given(st.lists(st.integers(0, 5)))
def test_repeats_are_counted(order: list[int]) -> None:
    expected = [order[:place].count(index) for place, index in enumerate(order)]
    assert repeats(np.array(order, np.int64)).tolist() == expected
