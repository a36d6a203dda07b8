"""Arrays of weights files, whatever the format: reading, checking and converting them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.files import Unreadable

MAX_DIMENSIONS = 32
"""NumPy 1's limit."""


def check_shape(shape: Sequence[int], name: str) -> None:
    """Refuses a shape that NumPy cannot represent, even if the array is empty.

    Args:
        shape: the shape, without negative sizes.
        name: what has this shape, for the message.

    Raises:
        Unreadable: the shape is too large.
    """
    if len(shape) > MAX_DIMENSIONS or math.prod(side for side in shape if side) >= 1 << 59:
        raise Unreadable(f"the shape of {name} is too large")


def read_bytes(file: BinaryIO, start: int, target: NDArray[np.uint8], message: str) -> None:
    """Reads bytes from position `start` until the uint8 array `target` is full.

    Raises:
        Unreadable: the file ends before; the text is `message`.
    """
    file.seek(start)
    if file.readinto(target) != len(target):  # type: ignore[attr-defined]
        raise Unreadable(message)


def widen_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Converts bfloat16 values, given as their bits, to float32."""
    widened = bits.astype(np.uint32)
    widened <<= np.uint32(16)  # in place: << alone makes a scalar of an array without axes
    return widened.view(np.float32)
