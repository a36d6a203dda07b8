"""The older format of ``torch.save``: five pickles, then the storages one after the other.

The pickles are a magic number, the protocol's version, information about the machine, the object
and the list of storage keys. A storage is its number of elements (int64) and then the elements,
all little-endian.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.arrays import read_bytes
from isotune.weights.formats.files import Unreadable
from isotune.weights.formats.pth.inert import Inert, UnsupportedTensor
from isotune.weights.formats.pth.names import NAMES, DType
from isotune.weights.formats.pth.pickle import read_pickle
from isotune.weights.formats.pth.tensors import (
    OTHER_SIZES,
    Storage,
    Storages,
    is_count,
    itemsize,
)

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


class LegacyFormat(Storages):
    """A file in the older format.

    Attributes:
        root: the stored object, whose tensors are not read yet.

    Raises:
        Unreadable: the file is damaged or of another format.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file.seek(0, io.SEEK_END))
        file.seek(0)
        self._file = file
        self._itemsizes: dict[str, int | None] = {}
        pickles = _Bounded(file, self.file_size)
        if read_pickle(pickles, {}) != MAGIC_NUMBER:
            raise Unreadable("it is a pickle, but not one that torch.save wrote")
        if read_pickle(pickles, {}) != PROTOCOL_VERSION:
            raise Unreadable("it is of an unknown version of torch.save")
        read_pickle(pickles, {})
        self.root = read_pickle(pickles, NAMES, self._storage)
        self._places = self._find_storages(read_pickle(pickles, {}))

    def read(self, key: str, size: int) -> NDArray[np.uint8]:
        """Reads storage `key`, which has at least `size` bytes: a view may use only a part."""
        if key not in self._places:
            raise Unreadable(f"storage '{key}' is missing")
        start, held = self._places[key]
        if held < size:
            raise Unreadable(f"storage '{key}' has {held} bytes, not {size}")
        data = np.empty(held, np.uint8)
        read_bytes(self._file, start, data, f"storage '{key}' is cut off")
        return data

    def _find_storages(self, keys: Any) -> dict[str, tuple[int, int]]:
        if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
            raise Unreadable("its list of storages is damaged")
        places: dict[str, tuple[int, int]] = {}
        position = self._file.tell()
        for key in keys:
            if key not in self._itemsizes or key in places:
                raise Unreadable(f"storage '{key}' belongs to no tensor, or is there twice")
            self._file.seek(position)
            header = self._file.read(8)
            elements = int.from_bytes(header, "little")
            width = self._itemsizes[key]
            if width is None:
                break  # where the next one begins is unknown
            size = elements * width
            position += 8
            if len(header) < 8 or position + size > self.file_size:
                raise Unreadable(f"it is cut off, or damaged, at storage '{key}'")
            places[key] = (position, size)
            position += size
        return places

    def _storage(self, identity: Any) -> Storage | Inert:
        """Reads a persistent id: ("storage", type, key, device, elements, view), or a class.

        A view is (key, start, elements): PyTorch before 0.4 stored parts of other storages.
        """
        match identity:
            case ("module", Inert() as kind, _, _):  # a class, with its source code
                return kind
            case ("storage", Inert() as kind, str() as key, _, _, _):
                self._itemsizes.setdefault(key, OTHER_SIZES.get(kind.name.rpartition(".")[2]))
                return UnsupportedTensor(kind.name)
            case ("storage", DType() as dtype, str() as key, _, length, view):
                self._itemsizes.setdefault(key, itemsize(dtype))
                start = 0
                if isinstance(view, tuple) and len(view) == 3:
                    _, start, length = view
                if is_count(start) and is_count(length):
                    return Storage(key, str(dtype), start, length)
        raise Unreadable("a storage in it is described in an unknown way")


class _Bounded:
    """Reads from a file, never requesting more bytes than it has.

    ``file.read(size)`` allocates `size` bytes before it reads the first one.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._size - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline()

    def tell(self) -> int:
        return self._file.tell()
