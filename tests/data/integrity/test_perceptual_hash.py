from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isotune.data.integrity import perceptual_hash
from isotune.data.integrity.perceptual_hash import (
    DISTANCE,
    ORIENTATIONS,
    close_pairs,
    hashes,
    orient,
    oriented,
)


def thumbnails(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(ORIENTATIONS))
def test_the_hash_of_a_turned_image_follows_from_its_own(orientation: int) -> None:
    images = thumbnails(40)
    turned = hashes(np.ascontiguousarray(orient(images, orientation)))
    assert (turned == oriented(hashes(images), orientation)).all()


def test_all_orientations_differ_and_the_first_changes_nothing() -> None:
    images = thumbnails(1)
    assert (orient(images, 0) == images).all()
    everything = {orient(images, each).tobytes() for each in range(ORIENTATIONS)}
    assert len(everything) == ORIENTATIONS


def test_the_mean_and_the_contrast_do_not_count() -> None:
    images = thumbnails(20) // 2
    assert (hashes(images) == hashes(images + 100)).all()
    assert (hashes(images // 2 * 2) == hashes(images // 2)).all()


@given(
    st.lists(st.integers(0, 3), max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 63)), max_size=60),
    st.integers(1, 40),
)
def test_exactly_the_close_pairs_are_found_once(
    families: list[int], flips: list[tuple[int, int]], chunk: int
) -> None:
    """Hashes of a few families, in which bits are flipped, in every chunking."""
    values = [0x0123_4567_89AB_CDEF * (family + 1) % 2**63 for family in families]
    sought = list(values)
    for place, bit in flips:
        if place < len(values):
            values[place] ^= 1 << bit
            sought[place] ^= 1 << (bit * 7 % 64)
    known = np.array(values, np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual_hash, "_CHUNK", chunk)
        found = [
            (int(query), int(member))
            for queries, members in close_pairs(known, np.array(sought, np.uint64))
            for query, member in zip(queries, members, strict=True)
        ]
    expected = [
        (query, member)
        for query in range(len(values))
        for member in range(query + 1, len(values))
        if (sought[query] ^ values[member]).bit_count() <= DISTANCE
    ]
    assert sorted(found) == expected
