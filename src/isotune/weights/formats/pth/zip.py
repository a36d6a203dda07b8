"""The zip format of ``torch.save``: ``PREFIX/data.pkl`` and, uncompressed, ``PREFIX/data/KEY``."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.arrays import read_bytes
from isotune.weights.formats.files import Unreadable
from isotune.weights.formats.pth.inert import Inert, UnsupportedTensor
from isotune.weights.formats.pth.names import NAMES, DType
from isotune.weights.formats.pth.pickle import read_pickle
from isotune.weights.formats.pth.tensors import Storage, Storages, is_count

MAGIC = b"PK\x03\x04"

OTHER_ARCHIVES = (
    ({"model.weights.h5", "config.json"}, "a model of Keras (.keras)"),
    ({"archive_format", "serialized_exported_program.json"}, "a program of torch.export (.pt2)"),
    ({"model.json"}, "an old TorchScript program; save its state_dict() instead"),
    ({"MAR-INF", "MANIFEST.json"}, "an archive of TorchServe; unpack it first"),
)
"""Names of files in other zip archives, with descriptions."""

WEIGHTS = (".pth", ".pt", ".safetensors", ".ckpt")

# The fixed part of an entry's local header ends with the lengths of its name and extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")


class ZipFormat(Storages):
    """A file in the zip format.

    Attributes:
        root: the stored object, whose tensors are not read yet.

    Raises:
        Unreadable: the file is damaged or of another format.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file.seek(0, io.SEEK_END))
        self._file = file
        self._entries = _directory(file)
        self._prefix = self._find_prefix()
        order = self._entries.get(f"{self._prefix}byteorder")
        self.big_endian = order is not None and self._read(order).tobytes() == b"big"
        pickled = self._read(self._entries[f"{self._prefix}data.pkl"]).tobytes()
        self.root = read_pickle(io.BytesIO(pickled), NAMES, _storage)

    def read(self, key: str, size: int) -> NDArray[np.uint8]:
        """Reads storage `key` of `size` bytes and checks its CRC."""
        entry = self._entries.get(f"{self._prefix}data/{key}")
        if entry is None:
            raise Unreadable(f"storage '{key}' is missing")
        if entry.file_size != size:
            raise Unreadable(f"storage '{key}' has {entry.file_size} bytes, not {size}")
        return self._read(entry)

    def _find_prefix(self) -> str:
        names = [n for n in self._entries if n == "data.pkl" or n.endswith("/data.pkl")]
        if not names:
            raise Unreadable(f"it is a zip archive, but not one of torch.save: {self._kind()}")
        prefix = min(names, key=len)[: -len("data.pkl")]
        if f"{prefix}constants.pkl" in self._entries:
            raise Unreadable("it is a TorchScript program; save its state_dict() instead")
        return prefix

    def _kind(self) -> str:
        """Returns what another zip archive seems to be."""
        bases = {name.rpartition("/")[2] for name in self._entries}
        for marks, kind in OTHER_ARCHIVES:
            if marks & bases:
                return f"it looks like {kind}"
        if bases and all(name.endswith(".npy") for name in bases):
            return "it looks like NumPy's .npz"
        inner = sorted(
            n for n in self._entries if n.endswith((".pth", ".pt", ".safetensors", ".ckpt"))
        )
        if inner:
            return f"it holds '{inner[0]}'; unpack it first"
        return "data.pkl is missing"

    def _read(self, entry: zipfile.ZipInfo) -> NDArray[np.uint8]:
        size = entry.file_size
        stored = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == size
        if not stored or entry.flag_bits & 1:
            raise Unreadable(f"'{entry.filename}' in it is compressed, which torch.save never does")
        start, cut_off = self._start(entry), f"'{entry.filename}' in it is cut off"
        if start + size > self.file_size:
            raise Unreadable(cut_off)
        data = np.empty(size, np.uint8)
        read_bytes(self._file, start, data, cut_off)
        # A CRC of 0 means no CRC: torch.serialization.set_crc32_options(False).
        if entry.CRC and zlib.crc32(data.data) != entry.CRC:
            raise Unreadable(f"'{entry.filename}' in it is damaged (its CRC is wrong)")
        return data

    def _start(self, entry: zipfile.ZipInfo) -> int:
        if not 0 <= entry.header_offset <= self.file_size - _LOCAL_HEADER.size:
            raise Unreadable("its zip directory is damaged")
        self._file.seek(entry.header_offset)
        magic, name, extra = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        if magic != MAGIC:
            raise Unreadable("its zip directory is damaged")
        return int(entry.header_offset + _LOCAL_HEADER.size + name + extra)


def _directory(file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(file) as archive:
            return {entry.filename: entry for entry in archive.infolist()}
    # zipfile raises NotImplementedError for an archive of an unknown version.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise Unreadable("its zip directory is damaged, or its end is cut off") from error


def _storage(identity: Any) -> Storage | Inert:
    """Reads a persistent id: ("storage", type, key, device, elements)."""
    match identity:
        case ("storage", DType() as dtype, str() as key, _, length) if is_count(length):
            return Storage(key, str(dtype), 0, length)
        case ("storage", Inert() as kind, str(), _, _):
            return UnsupportedTensor(kind.name)
    raise Unreadable("a storage in it is described in an unknown way")
