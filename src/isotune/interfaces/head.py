"""Head: the core describes it and draws its initial values; a backend swaps it in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LinearValues:
    """Values of a linear layer, in PyTorch's layout.

    Attributes:
        weight: float32, shape (outputs, inputs).
        bias: float32, shape (outputs,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Heads(ABC):
    """Finds and swaps the classifier of a backend's native models."""

    @abstractmethod
    def in_features(self, model: Any, classifier: str) -> int:
        """Returns the input width of the linear layer at path `classifier`.

        Raises:
            BackendError: there is no linear layer at that path.
        """

    @abstractmethod
    def replace(self, model: Any, classifier: str, values: LinearValues) -> None:
        """Puts a new linear layer with exactly these values at path `classifier`, in place."""
