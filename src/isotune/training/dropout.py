"""Dropout as every backend must compute it: the same mask for the same (seed, step, layer).

Stochastic depth is dropout of whole samples: of an array (N,).

A mask is an integer hash of each element's position, so that a device computes it from one
number per layer and step, in any framework, with nothing to save and nothing to restore.
The hash is C. Wellons' ``lowbias32`` (public domain,
https://nullprogram.com/blog/2018/07/31/): xor with the right shift by 16, times 0x7feb352d,
by 15, times 0x846ca68b, by 16, all on unsigned 32-bit integers.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from isotune.randomness import Purpose, stream

FACTOR, INCREMENT = 1664525, 1013904223
"""Lead from a layer's seed to that of its next use within a step: the linear congruence of
Numerical Recipes (Press et al., 3rd edition, section 7.1.4), modulo 2**32."""

RESOLUTION = 1 << 24
"""Masks compare the hash's upper 24 bits with ``round(p * RESOLUTION)``."""


def layer_seed(seed: int, step: int, path: str, shard: int = 0) -> int:
    """Returns the 32-bit seed of a layer of dropout or stochastic depth for one step.

    It depends on the layer's path, so that a part of a model drops the same elements as in the
    whole model. For each further use within the step, the layer takes :func:`next_seed`.

    Args:
        seed: The experiment's seed.
        step: Number of the training step, from 0 over the whole run.
        path: Canonical path of the layer in the model: ``classifier.0``.
        shard: The shard of the batch. That of an undivided batch is 0.
    """
    position = (step, crc32(path.encode()), *((shard,) if shard else ()))
    return int(stream(seed, Purpose.DROPOUT, *position).bit_generator.random_raw()) & 0xFFFFFFFF


def next_seed(seed: int) -> int:
    """Returns the seed of a layer's next use within a step."""
    return (seed * FACTOR + INCREMENT) & 0xFFFFFFFF


def threshold(p: float) -> int:
    """Returns the number below which 24 bits of the hash drop an element."""
    return round(p * RESOLUTION)


def keep_mask(seed: int, shape: tuple[int, ...], p: float, first: int = 0) -> NDArray[np.bool_]:
    """The reference: which elements of a row-major array of `shape` survive.

    Element i (flattened) is kept if ``lowbias32(i ^ seed) >> 8 >= threshold(p)``; survivors
    are multiplied by ``1 / (1 - p)``.

    Args:
        seed: The layer's seed.
        shape: Shape of the array, samples first.
        p: Probability that an element is dropped.
        first: Number of elements of the samples before these in their shard, whose other samples
            are elsewhere: i counts from it, modulo 2**32.
    """
    places = np.arange(first, first + np.prod(shape, dtype=np.int64), dtype=np.int64)
    bits = places.astype(np.uint32) ^ np.uint32(seed)
    bits ^= bits >> np.uint32(16)
    bits *= np.uint32(0x7FEB352D)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(0x846CA68B)
    bits ^= bits >> np.uint32(16)
    return ((bits >> np.uint32(8)) >= threshold(p)).reshape(shape)
