"""NumPy arrays into and out of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, ops
from numpy.typing import NDArray


def from_parameter(parameter: Parameter) -> NDArray[Any]:
    """Returns a copy; ``asnumpy`` alone would return a view that training goes on changing."""
    return np.array(parameter.asnumpy())


def set_parameter(parameter: Parameter, value: NDArray[Any]) -> None:
    """Writes `value` into the parameter's own memory.

    ``set_data`` would give it another memory, which optimizers of MindSpore do not notice in
    PyNative mode.
    """
    shared = np.require(value, parameter.asnumpy().dtype, ["C", "W"])
    ops.assign(parameter, Tensor.from_numpy(shared))
    # The assignment may still be to come, and the caller is free to change `value`: wait.
    parameter.asnumpy()


def zeros_like(parameter: Parameter, name: str) -> Parameter:
    """Returns a parameter of the same shape and dtype that takes no gradient."""
    data = Tensor(np.zeros(parameter.shape), dtype=parameter.dtype)
    return Parameter(data, name=name, requires_grad=False)
