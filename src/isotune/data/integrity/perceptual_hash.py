"""Perceptual hashes of thumbnails, and all pairs of hashes that differ in few bits.

A hash has the signs of the 63 lowest frequencies of a discrete cosine transform. Beside pHash
(Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010), which compares
them with their median, signs survive as much, and those of a mirrored or turned image follow from
the image's own: it need not be hashed eight times.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
"""Hashes of N images: uint64, shape (N,)."""

DISTANCE = 7
"""Number of bits in which the hashes of near duplicates may differ. Of the 72 million pairs of
12,000 images of CIFAR-10, fewer than a hundred are as close."""

ORIENTATIONS = 8
"""Number of ways to mirror an image and turn it by right angles."""

_SIDE = 8
_BANDS, _BITS = 4, 16
"""Parts of a hash. In one of four, two hashes that differ in seven bits differ in one at most."""

_CHUNK = 1 << 20
"""Number of candidates that are compared at a time."""

_IMAGES = 4096
"""Number of thumbnails that are transformed at a time."""


def hashes(thumbnails: NDArray[np.uint8]) -> Hashes:
    """Returns the hashes of thumbnails.

    Args:
        thumbnails: Luminance, uint8, shape (N, side, side), of a side of 8 at least.
    """
    basis = _basis(thumbnails.shape[1])
    result = np.zeros(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), _IMAGES):
        chunk = thumbnails[start : start + _IMAGES].astype(np.float32)
        signs = (basis @ chunk @ basis.T > 0).reshape(-1, _SIDE * _SIDE)
        signs[:, 0] = False  # the mean, which is always positive
        result[start : start + len(chunk)] = np.packbits(signs, axis=1).view(">u8")[:, 0]
    return result


def oriented(hashed: Hashes, orientation: int) -> Hashes:
    """Returns the hashes that mirrored and turned images have.

    Args:
        hashed: Hashes of images.
        orientation: 0 to 7: bit 0 mirrors left and right, bit 1 top and bottom, and then bit 2
            exchanges rows and columns; 0 changes nothing.
    """
    signs = np.unpackbits(hashed.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    signs = signs.reshape(-1, _SIDE, _SIDE)
    odd = np.arange(_SIDE) % 2
    # Mirroring changes the sign of every odd frequency along its axis.
    if orientation & 1:
        signs = signs ^ odd.astype(np.uint8)[None, None, :]
    if orientation & 2:
        signs = signs ^ odd.astype(np.uint8)[None, :, None]
    if orientation & 4:
        signs = signs.transpose(0, 2, 1)
    packed = np.packbits(np.ascontiguousarray(signs).reshape(-1, 64), axis=1)
    return packed.view(">u8")[:, 0].astype(np.uint64)


def orient(thumbnails: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Returns thumbnails, shape (N, side, side), mirrored and turned as :func:`oriented` says."""
    if orientation & 1:
        thumbnails = thumbnails[:, :, ::-1]
    if orientation & 2:
        thumbnails = thumbnails[:, ::-1]
    return thumbnails.transpose(0, 2, 1) if orientation & 4 else thumbnails


def close_pairs(
    known: Hashes, sought: Hashes
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields all pairs of hashes that differ in at most :data:`DISTANCE` bits, some at a time.

    This is multi-index hashing (Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with
    Multi-Index Hashing", CVPR 2012): of four bands of 16 bits, two such hashes have one that
    differs in at most one bit, so 17 buckets of each band are searched instead of all hashes.

    Args:
        known: Hashes of N images.
        sought: Hashes of as many, of which image i is compared with the known ones above i only.

    Yields:
        Indices in `sought`, and the higher ones in `known`: int64, shape (M,). Every pair comes
        once.
    """
    flips = np.array([0, *(1 << bit for bit in range(_BITS))], np.uint64)
    for band in range(_BANDS):
        # In the order of their buckets, neighbors in memory are compared one after the other.
        order, queries = (np.argsort(_band(each, band), kind="stable") for each in (known, sought))
        members, queried = known[order], sought[queries]
        starts = np.searchsorted(_band(members, band), np.arange((1 << _BITS) + 1))
        for flip in flips:
            bucket = _band(queried, band) ^ flip
            for row, place in _members(starts[bucket], starts[bucket + np.uint64(1)]):
                differing = members[place] ^ queried[row]
                close = np.flatnonzero(_bits(differing) <= DISTANCE)
                close = close[_first_band(differing[close]) == band]
                found, query = order[place[close]], queries[row[close]]
                ahead = found > query
                yield query[ahead], found[ahead]


def _members(
    first: NDArray[np.int64], last: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yields the index of each query and positions from its `first` to before its `last`."""
    sizes = last - first
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        done = ends[begin - 1] if begin else 0
        end = max(int(np.searchsorted(ends, done + _CHUNK, "right")), begin + 1)
        counts = sizes[begin:end]
        queries = np.repeat(np.arange(begin, end), counts)
        offsets = np.arange(len(queries)) - np.repeat(ends[begin:end] - counts - done, counts)
        yield queries, first[queries] + offsets
        begin = end


def _band(hashed: Hashes, band: int) -> NDArray[np.uint64]:
    part: NDArray[np.uint64] = (hashed >> np.uint64(band * _BITS)) & np.uint64(0xFFFF)
    return part


def _first_band(differing: Hashes) -> NDArray[np.int64]:
    """Returns the first band with at most one differing bit, where a pair is counted."""
    close = np.stack([_COUNTS[_band(differing, band)] <= 1 for band in range(_BANDS)])
    first: NDArray[np.int64] = close.argmax(axis=0)
    return first


def _bits(values: Hashes) -> NDArray[np.int64]:
    """Returns the number of ones in each value, added up in parallel within it."""
    one, two, four = (np.uint64(mask) for mask in (0x5555 * _EACH, 0x3333 * _EACH, 0x0F0F * _EACH))
    values = values - ((values >> np.uint64(1)) & one)
    values = (values & two) + ((values >> np.uint64(2)) & two)
    values = (values + (values >> np.uint64(4))) & four
    return ((values * np.uint64(0x0101 * _EACH)) >> np.uint64(56)).astype(np.int64)


_EACH = 0x0001_0001_0001_0001

_COUNTS = np.unpackbits(
    np.arange(1 << _BITS, dtype=">u2").view(np.uint8).reshape(-1, 2), axis=1
).sum(axis=1, dtype=np.uint8)
"""Number of ones in each number of 16 bits."""


def _basis(side: int) -> NDArray[np.float32]:
    """Returns the lowest frequencies of the discrete cosine transform (DCT-II): float32."""
    frequencies, positions = np.arange(_SIDE)[:, None], np.arange(side)[None, :] + 0.5
    return np.cos(np.pi / side * frequencies * positions).astype(np.float32)
