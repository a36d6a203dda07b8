"""Dropout as every backend must compute it: the same mask for the same (seed, step, layer).

A mask is an integer hash of each element's position, so that a device makes it by itself from
one number per layer and step, in any framework, with nothing to save and nothing to restore.
The hash is C. Wellons' ``lowbias32`` (public domain,
https://nullprogram.com/blog/2018/07/31/): xor with the right shift by 16, times 0x7feb352d,
by 15, times 0x846ca68b, by 16, all on unsigned 32-bit integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isotune.randomness import Purpose, stream

RESOLUTION = 1 << 24
"""Masks compare the hash's upper 24 bits with ``round(p * RESOLUTION)``."""


def layer_seed(seed: int, step: int, layer: int) -> int:
    """Returns the 32-bit word for one dropout layer in one step.

    Args:
        seed: the experiment's seed.
        step: the training step, from 0 over the whole run.
        layer: the position of the layer among the model's dropout layers, in the order of
            their canonical paths in the model's definition.
    """
    word = stream(seed, Purpose.DROPOUT, step, layer).bit_generator.random_raw()
    return int(word) & 0xFFFFFFFF


def threshold(p: float) -> int:
    """Returns the number below which 24 bits of the hash drop an element."""
    return round(p * RESOLUTION)


def keep_mask(word: int, shape: tuple[int, ...], p: float) -> NDArray[np.bool_]:
    """The reference: which elements of a row-major array of `shape` survive.

    Element i (flattened) is kept if ``lowbias32(i ^ word) >> 8 >= threshold(p)``; survivors
    are multiplied by ``1 / (1 - p)``.
    """
    bits = np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint32) ^ np.uint32(word)
    bits ^= bits >> np.uint32(16)
    bits *= np.uint32(0x7FEB352D)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(0x846CA68B)
    bits ^= bits >> np.uint32(16)
    return ((bits >> np.uint32(8)) >= threshold(p)).reshape(shape)
