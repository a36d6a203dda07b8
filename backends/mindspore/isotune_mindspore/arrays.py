"""NumPy arrays into and out of parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, ops
from numpy.typing import NDArray


def from_parameter(parameter: Parameter) -> NDArray[Any]:
    """Returns a copy; ``asnumpy`` would return a view that training changes."""
    return np.array(parameter.asnumpy())


def set_parameters(values: Iterable[tuple[Parameter, NDArray[Any]]]) -> None:
    """Writes values into the parameters' own memory.

    ``set_data`` would give them new memory, which MindSpore's optimizers do not notice in
    PyNative mode.
    """
    assign(values)
    count_change()


def assign(values: Iterable[tuple[Parameter, NDArray[Any]]]) -> None:
    """Does the same without counting it as a change of a model."""
    assigned = []
    for parameter, value in values:
        # A dtype's name is NumPy's, except for case; dtype_to_nptype is deprecated since 2.7.
        shared = np.require(value, str(parameter.dtype).lower(), ["C", "W"])
        ops.assign(parameter, Tensor.from_numpy(shared))
        assigned.append(parameter)
    # Assignments may still be pending, and the caller may change the values: wait for them. Only
    # now, since each wait takes a millisecond.
    for parameter in assigned:
        parameter.asnumpy()


def changes() -> int:
    """Returns how often values of parameters have been set, or have trained, in this process."""
    return _changes


def count_change() -> None:
    """Counts that parameters have other values now."""
    global _changes
    _changes += 1


_changes = 0


def set_to_zero(parameters: Iterable[Parameter]) -> None:
    """Sets the parameters to zero, in their own memory."""
    set_parameters((each, np.zeros(each.shape, np.float32)) for each in parameters)


def zeros_like(parameter: Parameter, name: str) -> Parameter:
    """Returns a parameter of the same shape and dtype that takes no gradient."""
    data = Tensor(np.zeros(parameter.shape), dtype=parameter.dtype)
    return Parameter(data, name=name, requires_grad=False)
