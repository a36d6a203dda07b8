"""Writes MindSpore's ``.ckpt``; :mod:`isotune.weights.formats.ckpt.read` describes the format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.weights.formats.ckpt.read import BFLOAT16, DTYPES
from isotune.weights.formats.protobuf import bytes_field, bytes_header, number_field

PIECE = 512 << 20
"""Largest number of bytes of a tensor in one entry, as in MindSpore."""

TYPES = {np.dtype(stored): name for name, stored in DTYPES.items() if name != BFLOAT16}
"""MindSpore's names of NumPy's dtypes."""

AFFINE = {"weight": "gamma", "bias": "beta"}
STATISTICS = {"running_mean": "moving_mean", "running_var": "moving_variance"}
"""MindSpore's names of a normalization's tensors."""


def write_ckpt(file: BinaryIO, state: Mapping[str, NDArray[Any]]) -> None:
    """Writes tensors under MindSpore's names.

    Args:
        file: the open file.
        state: little-endian, contiguous arrays by canonical name, of dtypes in :data:`TYPES`.
    """
    for name, value in state.items():
        tag = bytes_field(1, mindspore_name(name, state).encode())
        description = b"".join(number_field(1, side) for side in value.shape)
        description += bytes_field(2, TYPES[value.dtype].encode())
        content = value.reshape(-1).view(np.uint8).data
        for start in range(0, max(len(content), 1), PIECE):
            piece = content[start : start + PIECE]
            tensor = description + bytes_header(3, len(piece))
            header = tag + bytes_header(2, len(tensor) + len(piece)) + tensor
            file.write(bytes_header(1, len(header) + len(piece)) + header)
            file.write(piece)


def mindspore_name(name: str, state: Mapping[str, NDArray[Any]]) -> str:
    """Returns MindSpore's name of a tensor.

    Layers with running statistics are BatchNorms. Others with a vector of weights and a bias are
    LayerNorms or GroupNorms: convolutions and linear layers have weights of two axes or more.

    Args:
        name: the canonical name.
        state: the model's arrays by canonical name.
    """
    layer, dot, parameter = name.rpartition(".")
    weight, bias = (state.get(f"{layer}{dot}{kind}") for kind in AFFINE)
    is_batch_norm = f"{layer}{dot}running_mean" in state
    is_norm = weight is not None and bias is not None and weight.ndim == bias.ndim == 1
    names = {**STATISTICS, **AFFINE} if is_batch_norm else AFFINE if is_norm else {}
    return f"{layer}{dot}{names.get(parameter, parameter)}"
