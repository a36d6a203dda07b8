"""NumPy arrays to tensors and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(array: NDArray[Any]) -> Tensor:
    """Returns a CPU tensor that shares the array's memory where PyTorch allows it.

    PyTorch takes no array with negative strides, and warns of one that is read-only, such as a
    view of a memory-mapped file; these are copied.
    """
    return torch.from_numpy(np.require(array, requirements=["C_CONTIGUOUS", "WRITEABLE"]))


def to_array(tensor: Tensor) -> NDArray[Any]:
    """Returns a row-major copy of `tensor`, whatever its device and memory format."""
    row_major = torch.contiguous_format
    copy: NDArray[Any] = tensor.detach().to("cpu", copy=True, memory_format=row_major).numpy()
    return copy


def to_copy(tensor: Tensor) -> NDArray[Any]:
    """Returns a copy of `tensor` in its own memory format, which takes half as long as another.

    One of a ``channels_last`` tensor is not row-major.
    """
    copy: NDArray[Any] = tensor.detach().to("cpu", copy=True).numpy()
    return copy
