"""Tensors of a PyTorch file: described while its pickle is read, converted to arrays afterwards.

Every size in the file is checked against the file's own size, so that a small file cannot request
much memory.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.arrays import MAX_DIMENSIONS, check_shape, widen_bfloat16
from isotune.weights.formats.files import Unreadable

BFLOAT16 = "bfloat16"
DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    BFLOAT16: "u2",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "u1",
}
"""Supported dtypes of PyTorch, with NumPy's type for their stored elements."""

COPIES_PER_BYTE = 8
COPIES_FLOOR = 1 << 24
"""Copies of strided or widened tensors may take 8 bytes per byte of the file, plus 16 MiB.

A transposed tensor takes one byte per byte, a widened bfloat16 tensor two. Only an expanded tensor
(a stride of 0) takes more, without limit."""


@dataclass(frozen=True, eq=False)
class Storage:
    """A one-dimensional piece of the file.

    Attributes:
        key: its name in the file.
        dtype: a key of :data:`DTYPES`.
        start: position of its first element.
        length: number of elements.
    """

    key: str
    dtype: str
    start: int
    length: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A strided view of a storage; `offset` and `strides` count elements of `dtype`."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


OTHER_SIZES = {
    "ComplexDoubleStorage": 16,
    "ComplexFloatStorage": 8,
    "QInt32Storage": 4,
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1,
}
"""Sizes in bytes of an element of PyTorch's storages that are not read."""


def itemsize(dtype: str) -> int:
    """Returns the size of one element in bytes."""
    return int(DTYPES[dtype][1])


def make_tensor(storage: Any, offset: Any, shape: Any, strides: Any, dtype: str = "") -> Tensor:
    """Describes a tensor, after checking that all its elements lie within `storage`.

    Raises:
        Unreadable: an element lies outside, or an argument is of the wrong type.
    """
    if not isinstance(storage, Storage):
        raise Unreadable("a tensor has no storage")
    if not (are_counts(shape) and are_counts(strides) and are_counts((offset,))):
        raise Unreadable("a tensor's shape, strides or offset are not whole numbers from 0 on")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise Unreadable(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    dtype = dtype or storage.dtype
    held = storage.length * itemsize(storage.dtype) // itemsize(dtype)
    tensor = Tensor(storage, dtype, offset, tuple(shape), tuple(strides))
    check_shape(shape, "a tensor")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if tensor.size and last >= held:
        raise Unreadable(f"a tensor reaches to element {last} of a storage that has {held}")
    return tensor


def is_count(value: Any) -> bool:
    """Whether `value` can be a number of elements."""
    return type(value) is int and 0 <= value < 1 << 62


def are_counts(values: Any) -> bool:
    """Whether `values` is a tuple of numbers of elements."""
    return isinstance(values, tuple) and all(is_count(value) for value in values)


class Storages(ABC):
    """Reads the storages of one file, each at most once.

    Args:
        file_size: size of the file in bytes, which limits the memory of storages and copies.
        big_endian: whether elements are stored with the most significant byte first.
    """

    def __init__(self, file_size: int, big_endian: bool = False) -> None:
        self.file_size = file_size
        self.big_endian = big_endian
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        self._copied = 0

    @abstractmethod
    def read(self, key: str, size: int) -> NDArray[np.uint8]:
        """Reads storage `key` of `size` bytes.

        Raises:
            Unreadable: the storage is missing or has another size.
        """

    def array(self, tensor: Tensor) -> NDArray[Any]:
        """Returns `tensor` as a contiguous array; bfloat16 becomes float32.

        Contiguous tensors share memory with their storage.
        """
        elements = self._elements(tensor)
        if tensor.size == 0:
            array = np.empty(tensor.shape, elements.dtype)
        elif _is_contiguous(tensor):
            flat = elements[tensor.offset : tensor.offset + tensor.size]
            array = flat.reshape(tensor.shape)
        else:
            self._count_copy(tensor.size * elements.itemsize)
            array = _strided_copy(elements, tensor)
        return self._native(array, tensor.dtype)

    def _native(self, array: NDArray[Any], dtype: str) -> NDArray[Any]:
        if self.big_endian != (sys.byteorder == "big"):
            self._count_copy(array.nbytes)
            array = array.byteswap()
        if dtype == BFLOAT16:
            self._count_copy(array.size * 4)
            return widen_bfloat16(array)
        if dtype == "bool":
            self._count_copy(array.size)
            return array.astype(np.bool_)
        return array

    def _elements(self, tensor: Tensor) -> NDArray[Any]:
        storage = tensor.storage
        width = itemsize(storage.dtype)
        buffer = self._buffer(storage)[storage.start * width :]
        width = itemsize(tensor.dtype)
        elements: NDArray[Any] = buffer[: len(buffer) // width * width].view(DTYPES[tensor.dtype])
        return elements

    def _buffer(self, storage: Storage) -> NDArray[np.uint8]:
        size = (storage.start + storage.length) * itemsize(storage.dtype)
        if storage.key not in self._buffers:
            held = sum(buffer.nbytes for buffer in self._buffers.values())
            if held + size > self.file_size:
                raise Unreadable("its storages claim more bytes than the file has")
            self._buffers[storage.key] = self.read(storage.key, size)
        buffer = self._buffers[storage.key]
        if len(buffer) < size:
            raise Unreadable(f"storage '{storage.key}' has {len(buffer)} bytes, not {size}")
        return buffer

    def _count_copy(self, size: int) -> None:
        self._copied += size
        if self._copied > self.file_size * COPIES_PER_BYTE + COPIES_FLOOR:
            raise Unreadable("its tensors would take far more memory than the file has bytes")


def _is_contiguous(tensor: Tensor) -> bool:
    expected = 1
    for side, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if side != 1 and stride != expected:
            return False
        expected *= side
    return True


def _strided_copy(elements: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    # The stride of a dimension of size 1 has no effect and may be anything.
    sides = zip(tensor.shape, tensor.strides, strict=True)
    strides = tuple(stride * elements.itemsize if side > 1 else 0 for side, stride in sides)
    view = np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(view)
