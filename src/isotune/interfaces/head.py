"""Head: the core describes it and draws its initial values; a backend swaps it in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.spec.head import Activation


@dataclass(frozen=True)
class LinearValues:
    """Values of a linear layer, in PyTorch's layout.

    Attributes:
        weight: float32, shape (outputs, inputs).
        bias: float32, shape (outputs,).
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class HiddenValues:
    """A hidden layer: a linear layer, then its activation, then dropout with probability p."""

    linear: LinearValues
    activation: Activation
    dropout: float


@dataclass(frozen=True)
class HeadValues:
    """A head with its values.

    Without hidden layers it is one linear layer at its path. With H of them it is a sequence of
    3 H + 1 layers (linear, activation, dropout, ..., linear), whose parameters are named
    ``PATH.0.weight``, ``PATH.3.weight`` and so on, even if the dropout is zero.

    Attributes:
        convolutional: Whether its linear layers are 1 x 1 convolutions, which classify each place
            of the maps; their weights have shape (outputs, inputs, 1, 1).
    """

    output: LinearValues
    hidden: tuple[HiddenValues, ...] = ()
    convolutional: bool = False

    @property
    def in_features(self) -> int:
        """The width of its input."""
        first = self.hidden[0].linear if self.hidden else self.output
        return int(first.weight.shape[1])

    def state(self, path: str) -> dict[str, NDArray[np.float32]]:
        """Returns its tensors by canonical name, for a head at `path`."""
        linears = [*(layer.linear for layer in self.hidden), self.output]
        state = {}
        for name, linear in zip(linear_paths(path, len(self.hidden)), linears, strict=True):
            weight = linear.weight[:, :, None, None] if self.convolutional else linear.weight
            state[f"{name}.weight"], state[f"{name}.bias"] = weight, linear.bias
        return state


def linear_paths(path: str, hidden: int) -> list[str]:
    """Returns the paths of the linear layers of a head at `path` with `hidden` hidden layers."""
    return [f"{path}.{3 * i}" for i in range(hidden + 1)] if hidden else [path]


class Heads(ABC):
    """Finds, swaps and takes out the classifier of a backend's native models."""

    @abstractmethod
    def in_features(self, model: Any, path: str) -> int:
        """Returns the input width of the linear layer at `path`, or of the first one under it.

        A convolution of 1 x 1 at `path` itself counts as one.

        Raises:
            BackendError: there is no linear layer at that path or under it.
        """

    @abstractmethod
    def replace(self, model: Any, path: str, head: HeadValues) -> None:
        """Replaces the part at `path` by a new head with exactly these values.

        Raises:
            BackendError: there is no linear layer at that path or under it, or of another
                input width.
        """

    @abstractmethod
    def detach(self, model: Any, path: str) -> Any:
        """Removes the part at `path`, the last one of `model`.

        `model` then returns the inputs of that part, the features; the rest of it is unchanged.

        Returns:
            A native model of the removed part, from features to logits. Its tensors are those of
            the whole model, with the same canonical names, so that it can be trained, saved and
            frozen as a part of it.

        Raises:
            BackendError: there is no linear layer at that path or under it.
        """

    @abstractmethod
    def attach(self, model: Any, path: str, head: Any) -> None:
        """Undoes :meth:`detach`, which returned `head`, and leaves no trace on `model`."""
