"""NumPy's arrays in pickles, rebuilt from their type, shape and bytes."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.arrays import check_shape
from isotune.weights.formats.files import Unreadable
from isotune.weights.formats.pth.inert import Buildable, Inert
from isotune.weights.formats.pth.tensors import are_counts

TYPES = frozenset(
    {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"},
)  # fmt: skip
"""The supported types, without their byte order; no objects, text or records."""

DAMAGED = "a NumPy array in it is damaged"


class ArrayType(Buildable):
    """A NumPy dtype: ``dtype("f4", align, copy)``, then a state with the byte order."""

    def __init__(self, name: Any, *_options: Any) -> None:
        self.name = name if isinstance(name, str) else ""
        self.is_big_endian = self.name.startswith(">")

    def build(self, state: Any) -> None:
        """Takes (version, byte order, ...)."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.is_big_endian = state[1] == ">"

    def dtype(self) -> np.dtype[Any] | None:
        """Returns NumPy's dtype, or None if it is not supported."""
        name = self.name.lstrip("<>|=")
        order: Literal["<", ">"] = ">" if self.is_big_endian else "<"
        return np.dtype(name).newbyteorder(order) if name in TYPES else None


class Array(Buildable):
    """A NumPy array, empty until its state is there.

    Attributes:
        value: the array in native byte order; None while it is empty or of an unsupported type.
    """

    def __init__(self, *_arguments: Any) -> None:
        self.value: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        """Takes (version, shape, dtype, whether in Fortran's order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise Unreadable(DAMAGED)
        _, shape, kind, is_fortran, data = state
        self.value = _array(data, kind, shape, "F" if is_fortran is True else "C")


def from_buffer(data: Any, kind: Any, shape: Any, order: Any = "C") -> Array:
    """Returns an array of pickle protocol 5: ``_frombuffer(bytes, dtype, shape, order)``."""
    array = Array()
    array.value = _array(data, kind, shape, "F" if order == "F" else "C")
    return array


def encode(text: Any, encoding: Any = "") -> Any:
    """Returns the bytes that Python 3 writes as text in pickles of protocol 2."""
    if isinstance(text, str) and encoding == "latin1":
        return text.encode("latin1")
    return Inert("_codecs.encode")


def no_bytes(*arguments: Any) -> Any:
    """Returns the empty bytes that Python 3 writes as a call in pickles of protocol 2."""
    return Inert("builtins.bytes", arguments) if arguments else b""


def _array(data: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any] | None:
    dtype = kind.dtype() if isinstance(kind, ArrayType) else None
    if dtype is None or not isinstance(data, (bytes, bytearray)):
        return None  # of objects, whose data is a list
    if not are_counts(shape):
        raise Unreadable(DAMAGED)
    check_shape(shape, "a NumPy array")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise Unreadable(DAMAGED)
    array = np.frombuffer(data, dtype).reshape(shape, order=order)
    return np.ascontiguousarray(array, dtype.newbyteorder("="))
