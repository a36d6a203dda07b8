from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.fft import dctn

from isotune.data.integrity import perceptual_hash
from isotune.data.integrity.perceptual_hash import (
    DISTANCE,
    ORIENTATIONS,
    Hashes,
    close_pairs,
    difference_hashes,
    frequency_hashes,
    orient,
)


def thumbnails(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16), dtype=np.uint8)


def test_all_orientations_differ_and_the_first_changes_nothing() -> None:
    images = thumbnails(1)
    assert (orient(images, 0) == images).all()
    everything = {orient(images, each).tobytes() for each in range(ORIENTATIONS)}
    assert len(everything) == ORIENTATIONS


HASHES = pytest.mark.parametrize("hashes", [frequency_hashes, difference_hashes])


@HASHES
def test_the_mean_and_the_contrast_do_not_count(hashes: Callable[..., Hashes]) -> None:
    images = thumbnails(20) // 4
    expected = hashes(images)
    assert len(set(expected.tolist())) == 20
    assert (hashes(images + 100) == expected).all()
    assert (hashes(images * 4) == expected).all()


def test_the_hashes_are_what_they_say() -> None:
    """Against SciPy's transform, and regions of whole pixels."""
    images = thumbnails(5)
    expected = dctn(images.astype(np.float64), axes=(1, 2))[:, :8, :8] > 0
    expected[:, 0, 0] = False
    assert (bits(frequency_hashes(images)) == expected).all()
    wide = np.random.default_rng(1).integers(0, 256, (5, 72, 72), dtype=np.uint8)
    regions = wide.reshape(5, 8, 9, 9, 8).mean(axis=(2, 4))
    assert (bits(difference_hashes(wide)) == (regions[:, :, 1:] > regions[:, :, :-1])).all()


def bits(hashed: Hashes) -> NDArray[np.bool_]:
    return np.unpackbits(hashed.astype(">u8").view(np.uint8)).reshape(-1, 8, 8).astype(np.bool_)


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
