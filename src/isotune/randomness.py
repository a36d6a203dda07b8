"""All randomness of a run, as a pure function of the seed and of what it is for.

Each use has its own stream of NumPy's counter-based Philox generator (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", 2011): the key is (seed, purpose), the counter says which
epoch, sample or step. Nothing depends on what was drawn before, on threads or on a backend.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any
from zlib import crc32

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of the promise: never reuse one."""

    ORDER = 1
    AUGMENTATION = 2
    INITIAL_VALUES = 3
    DROPOUT = 4
    SPLIT = 5
    SAMPLER = 6
    FOLDS = 7
    MIXING = 8
    SEARCH = 9
    NUDGE = 10


class _Key(ISeedSequence):
    """A key of Philox. With ``key=`` NumPy asks the system for entropy that it does not use."""

    def __init__(self, seed: int, purpose: Purpose) -> None:
        self._key = np.array([seed, purpose], dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        """Returns the key: uint64, shape (2,)."""
        return self._key


def stream(seed: int, purpose: Purpose, *position: int) -> np.random.Generator:
    """Returns the generator of one stream.

    Args:
        seed: the experiment's seed, 0 to 2**64 - 1.
        purpose: what the numbers are for.
        position: up to three non-negative integers below 2**64 (epoch, sample index, ...).
    """
    counter = [0, *position, *(0,) * (3 - len(position))]
    bits = np.random.Philox(
        _Key(seed, purpose),  # type: ignore[arg-type]
        counter=np.array(counter, dtype=np.uint64),
    )
    return np.random.Generator(bits)


def epoch_order(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    """Returns the order of `length` samples in `epoch` (from 0): int64, shape (length,).

    Sorting raw random words, not ``Generator.permutation``, keeps the order the same under
    every NumPy version (NumPy promises that for bit generators only, NEP 19).
    """
    words = stream(seed, Purpose.ORDER, epoch).bit_generator.random_raw(length)
    return np.argsort(words, kind="stable").astype(np.int64)


def named_stream(seed: int, purpose: Purpose, name: str) -> np.random.Generator:
    """Returns a stream whose position is a name, such as that of a parameter."""
    return stream(seed, purpose, crc32(name.encode(errors="surrogatepass")))


def coin_flips(rng: np.random.Generator, count: int) -> NDArray[np.bool_]:
    """Draws fair bits, shape (count,), as raw words: the same under every NumPy version."""
    words = np.atleast_1d(rng.bit_generator.random_raw(-(-count // 64)))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), count=count)
    return bits.astype(np.bool_)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draws a number from [low, high), with one call of ``rng.random()``."""
    return low + (high - low) * rng.random()


def below(rng: np.random.Generator, end: int) -> int:
    """Draws an integer from 0 to `end` - 1, with one call of ``rng.random()``."""
    return int(rng.random() * end)
