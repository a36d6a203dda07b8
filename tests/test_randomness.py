"""Randomness is a promise: these numbers were written down once and never change."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isotune.randomness import Purpose, epoch_order, named_stream, stream
from isotune.training.dropout import keep_mask, layer_seed

SEEDS = st.integers(0, 2**63 - 1)


def words(seed: int, purpose: Purpose, *position: int) -> list[int]:
    return [int(word) for word in stream(seed, purpose, *position).bit_generator.random_raw(4)]


def test_stored_truth() -> None:
    assert epoch_order(0, 0, 10).tolist() == [5, 3, 7, 8, 2, 4, 1, 0, 6, 9]
    assert crc32(epoch_order(2**63 - 1, 99, 5000).astype("<i8").tobytes()) == 232837424
    assert words(7, Purpose.AUGMENTATION, 2, 11)[0] == 6770882082332220250
    named = named_stream(7, Purpose.INITIAL_VALUES, "fc.weight")
    assert int(named.bit_generator.random_raw()) == 5745365813408266809
    assert layer_seed(3, 10, "classifier.0") == 1084672794
    mask = keep_mask(layer_seed(3, 10, "classifier.0"), (32, 100), 0.2)
    assert crc32(np.packbits(mask).tobytes()) == 4193704387


@given(seed=SEEDS, epoch=st.integers(0, 1000), length=st.integers(0, 500))
def test_an_order_is_a_permutation(seed: int, epoch: int, length: int) -> None:
    order = epoch_order(seed, epoch, length)
    assert np.array_equal(np.sort(order), np.arange(length))
    assert np.array_equal(order, epoch_order(seed, epoch, length))


@given(
    streams=st.lists(
        st.tuples(SEEDS, st.sampled_from(Purpose), st.integers(0, 2**40), st.integers(0, 2**40)),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_streams_do_not_depend_on_each_other(streams: list[tuple[int, Purpose, int, int]]) -> None:
    one, other = streams
    alone = words(*other)
    assert words(*one) != alone
    assert words(*other) == alone


def test_orders_differ_by_epoch_and_seed() -> None:
    orders = {tuple(epoch_order(seed, epoch, 50)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_a_mask_drops_its_share() -> None:
    mask = keep_mask(layer_seed(1, 2, "a"), (400, 500), 0.3)
    assert abs(mask.mean() - 0.7) < 4 * (0.3 * 0.7 / mask.size) ** 0.5
    assert not np.array_equal(mask, keep_mask(layer_seed(1, 3, "a"), (400, 500), 0.3))
