"""Perceptual hashes of thumbnails, and all pairs of hashes that differ in few bits.

There are two, since each finds what the other misses:

- the signs of the 63 lowest frequencies of a discrete cosine transform, as pHash (Zauner,
  "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010), but compared with
  zero instead of their median: it finds more of small images that were compressed;
- which of two neighboring regions is brighter, as dHash
  (https://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html): it finds more
  of copies with a label or a narrower frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
"""Hashes of N images: uint64, shape (N,)."""

DISTANCE = 7
"""Number of bits in which the hashes of near duplicates may differ. Of the 72 million pairs of
12,000 images of CIFAR-10, 65 are as close by their frequencies, and 709 by their regions."""

ORIENTATIONS = 8
"""Number of ways to mirror an image and turn it by right angles."""

_SIDE = 8
_BANDS, _BITS = 4, 16
"""Parts of a hash. In one of four, two hashes that differ in seven bits differ in one at most."""

_CHUNK = 1 << 20
"""Number of candidates that are compared at a time."""

_IMAGES = 4096
"""Number of thumbnails that are transformed at a time."""


def frequency_hashes(thumbnails: NDArray[np.uint8]) -> Hashes:
    """Returns the signs of the lowest frequencies.

    Args:
        thumbnails: Luminance, uint8, shape (N, side, side), of a side of 8 at least.
    """
    basis = _basis(thumbnails.shape[1])

    def signs(images: NDArray[np.float32]) -> NDArray[np.bool_]:
        positive: NDArray[np.bool_] = basis @ images @ basis.T > 0
        positive[:, 0, 0] = False  # the mean, which is always positive
        return positive

    return _packed(thumbnails, signs)


def difference_hashes(thumbnails: NDArray[np.uint8]) -> Hashes:
    """Returns which regions are brighter than those to their left, of 8 x 9.

    Args:
        thumbnails: Luminance, uint8, shape (N, side, side), of a side of 9 at least.
    """
    side = thumbnails.shape[1]
    rows, columns = _means(side, _SIDE), _means(side, _SIDE + 1)

    def brighter(images: NDArray[np.float32]) -> NDArray[np.bool_]:
        regions = rows @ images @ columns.T
        result: NDArray[np.bool_] = regions[:, :, 1:] > regions[:, :, :-1]
        return result

    return _packed(thumbnails, brighter)


def _packed(
    thumbnails: NDArray[np.uint8], bits: Callable[[NDArray[np.float32]], NDArray[np.bool_]]
) -> Hashes:
    """Returns the 64 bits of each thumbnail: shape (N, 8, 8) of some thumbnails."""
    result = np.zeros(len(thumbnails), np.uint64)
    for start in range(0, len(thumbnails), _IMAGES):
        chunk = thumbnails[start : start + _IMAGES].astype(np.float32)
        packed = np.packbits(bits(chunk).reshape(-1, _SIDE * _SIDE), axis=1)
        result[start : start + len(chunk)] = packed.view(">u8")[:, 0]
    return result


def orient(thumbnails: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Returns mirrored and turned thumbnails.

    Args:
        thumbnails: Of shape (N, side, side).
        orientation: 0 to 7: bit 0 mirrors left and right, bit 1 top and bottom, and then bit 2
            exchanges rows and columns; 0 changes nothing.
    """
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


def _means(side: int, parts: int) -> NDArray[np.float32]:
    """Returns what makes `side` pixels means of as wide `parts`: float32, shape (parts, side)."""
    edges, pixels = np.linspace(0, side, parts + 1), np.arange(side)
    first = np.maximum(edges[:-1, None], pixels)
    last = np.minimum(edges[1:, None], pixels + 1)
    weights: NDArray[np.float32] = (last - first).clip(min=0).astype(np.float32)
    return weights * np.float32(parts / side)
