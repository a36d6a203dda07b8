"""Writes a weights file, in the format given by its suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.storage.atomic import atomic_file
from isotune.storage.tensor_file import ALL_DTYPES, in_library_order, write_tensors
from isotune.weights.formats.ckpt.write import write_ckpt
from isotune.weights.formats.files import printable
from isotune.weights.formats.pth.write import write_pth

Arrays = Mapping[str, NDArray[Any]]

KINDS = frozenset("fiub")


@dataclass(frozen=True)
class TorchExtras:
    """What a PyTorch module's state dict has beside parameters and BatchNorm statistics.

    Attributes:
        buffers: constants of the architecture by canonical name.
        versions: versions of modules' state dicts (``Module._version``) by path.
    """

    buffers: Arrays = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)


NOTHING = TorchExtras()


def write_weights(path: str | Path, state: Arrays, extras: TorchExtras = NOTHING) -> None:
    """Writes a model's tensors atomically, replacing an existing file.

    - ``.safetensors``: canonical names, which are torchvision's, and the buffers of `extras`.
    - ``.pth`` or ``.pt``: the same, with ``num_batches_tracked`` and the versions of `extras`; for
      ``torch.load`` with ``weights_only=True`` and ``load_state_dict`` with ``strict=True``.
    - ``.ckpt``: MindSpore's names, without `extras`; for ``mindspore.load_checkpoint``.

    Equal states give equal bytes.

    Args:
        path: the file. Its folder must exist.
        state: arrays by canonical name.
        extras: what PyTorch's class of the model expects besides, if anything.

    Raises:
        WeightsError: the suffix is none of these, the format does not support a tensor's dtype,
            or the file cannot be written.
    """
    path = Path(path)
    write = writer(path)
    ready = {name: _plain(name, value) for name, value in state.items()}
    try:
        with atomic_file(path) as file:
            write(file, ready, extras)
    except OSError as error:
        reason = error.strerror or str(error)
        raise WeightsError(f"'{path}' cannot be written: {reason}.") from error


Writer = Callable[[BinaryIO, Arrays, TorchExtras], None]


def writer(path: Path) -> Writer:
    """Returns the function that writes the format of `path`.

    Raises:
        WeightsError: no format has this suffix. The message lists the suffixes.
    """
    if write := WRITERS.get(path.suffix.lower()):
        return write
    raise WeightsError(f"'{path}': the name of a weights file must end in {', '.join(WRITERS)}.")


def _write_safetensors(file: BinaryIO, state: Arrays, extras: TorchExtras) -> None:
    arrays = in_library_order({**state, **extras.buffers})
    write_tensors(file, arrays, dtypes=ALL_DTYPES)


def _write_pth(file: BinaryIO, state: Arrays, extras: TorchExtras) -> None:
    write_pth(file, {**state, **extras.buffers}, extras.versions)


def _write_ckpt(file: BinaryIO, state: Arrays, extras: TorchExtras) -> None:
    write_ckpt(file, state)


WRITERS: Mapping[str, Writer] = {
    ".safetensors": _write_safetensors,
    ".pth": _write_pth,
    ".pt": _write_pth,
    ".ckpt": _write_ckpt,
}


def _plain(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """Returns a little-endian, contiguous array.

    Raises:
        WeightsError: the dtype is not supported.
    """
    array = np.asarray(value)
    if array.dtype.kind not in KINDS or array.dtype.itemsize > 8:
        raise WeightsError(
            f"tensor '{printable(name, 120)}' is of type {array.dtype}, which is not supported."
        )
    return np.require(array, array.dtype.newbyteorder("<"), "C")
