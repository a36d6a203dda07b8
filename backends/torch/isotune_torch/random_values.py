"""New layers without the random values that PyTorch gives them."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode


class WithoutRandomValues(TorchFunctionMode):
    """Makes new layers start with zeros instead of random values.

    Drawing the values of a large model takes seconds, and the core sets them anyway. Zeros instead
    of uninitialized memory: PyTorch redraws until all numbers are within bounds.
    """

    DRAWING = frozenset((Tensor.normal_, Tensor.uniform_, Tensor.erfinv_))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Calls `func`, unless it draws random numbers."""
        return args[0].zero_() if func in self.DRAWING else func(*args, **(kwargs or {}))
