"""Writes the zip format of ``torch.save``, without PyTorch.

The pickle has only the instructions that a state dict needs, so that
``torch.load(path, weights_only=True)`` loads it.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.pth.names import STORAGES
from isotune.weights.formats.pth.tensors import BFLOAT16, DTYPES

PREFIX = "archive"
ALIGNMENT = 64
"""Tensors begin at multiples of this, as in PyTorch's own files, so that they can be mapped."""

COUNT = "num_batches_tracked"

STORAGE_CLASSES = {
    np.dtype(DTYPES[dtype]).newbyteorder("<"): storage
    for storage, dtype in STORAGES.items()
    if storage != "UntypedStorage" and dtype not in (BFLOAT16, "bool")
} | {np.dtype(np.bool_): "BoolStorage"}
"""PyTorch's storage classes by NumPy dtype."""


def write_pth(
    file: BinaryIO, state: Mapping[str, NDArray[Any]], versions: Mapping[str, int]
) -> None:
    """Writes a state dict, with the ``num_batches_tracked`` that PyTorch's BatchNorm expects.

    Args:
        file: the open file.
        state: little-endian, contiguous arrays by canonical name, of dtypes in
            :data:`STORAGE_CLASSES`.
        versions: versions of modules' state dicts (``Module._version``) by path.
    """
    tensors = with_counts(state)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", _pickled(tensors, versions))
        _add(archive, "byteorder", b"little")
        for key, value in enumerate(tensors.values()):
            _add(archive, f"data/{key}", value.reshape(-1).view(np.uint8).data)
        _add(archive, "version", b"3\n")


def with_counts(state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Returns `state` with ``num_batches_tracked`` of 0 after each BatchNorm's last tensor."""
    extended: dict[str, NDArray[Any]] = {}
    for name, value in state.items():
        extended[name] = value
        layer, dot, parameter = name.rpartition(".")
        if parameter == "running_var":
            extended[f"{layer}{dot}{COUNT}"] = np.zeros((), "<i8")
    return extended


def _add(archive: zipfile.ZipFile, name: str, content: bytes | memoryview) -> None:
    entry = zipfile.ZipInfo(f"{PREFIX}/{name}")  # fixed date, so that equal states give equal bytes
    # The local header has 30 bytes and the name. The padding is an extra field, as in PyTorch.
    start = archive.fp.tell() + 30 + len(entry.filename) + 4  # type: ignore[union-attr]
    padding = -start % ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(entry, content)


def _pickled(tensors: Mapping[str, NDArray[Any]], versions: Mapping[str, int]) -> bytes:
    entries = {name: _tensor(str(key), v) for key, (name, v) in enumerate(tensors.items())}
    state = _ordered(entries) + (_metadata(versions) if versions else b"")
    return b"".join([pickle.PROTO, b"\x02", state, pickle.STOP])


def _metadata(versions: Mapping[str, int]) -> bytes:
    """Returns the instructions that set the attribute ``_metadata`` of a state dict."""
    version = {path: _dict("version", _number(number)) for path, number in versions.items()}
    return _dict("_metadata", _ordered(version)) + pickle.BUILD


def _dict(key: str, value: bytes) -> bytes:
    return pickle.EMPTY_DICT + _text(key) + value + pickle.SETITEM


def _ordered(items: Mapping[str, bytes]) -> bytes:
    pairs = (_text(key) + value for key, value in items.items())
    return b"".join([_EMPTY, pickle.MARK, *pairs, pickle.SETITEMS])


def _tensor(key: str, value: NDArray[Any]) -> bytes:
    """Returns the call ``_rebuild_tensor_v2(storage, 0, shape, strides, False, hooks)``."""
    storage = _tuple(
        _text("storage"),
        _global("torch", STORAGE_CLASSES[value.dtype]),
        _text(key),
        _text("cpu"),
        _number(value.size),
    )
    strides = [step // value.itemsize for step in value.strides]
    arguments = _tuple(
        storage + pickle.BINPERSID,
        _number(0),
        _tuple(*map(_number, value.shape)),
        _tuple(*map(_number, strides)),
        pickle.NEWFALSE,
        _EMPTY,  # no hooks
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


_EMPTY = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
"""Call that creates an empty ordered dict."""


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE if items else pickle.EMPTY_TUPLE


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _number(value: int) -> bytes:
    if value < 1 << 31:
        return pickle.BININT + struct.pack("<i", value)
    encoded = value.to_bytes(8, "little", signed=True)
    return pickle.LONG1 + bytes([len(encoded)]) + encoded
