"""Tensors in one vector, one after the other, and back."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.ops.auto_generate import SplitWithSize


class Flatten(nn.Cell):
    """Puts tensors into a vector."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.map, self.concat = ops.HyperMap(), ops.Concat()

    def construct(self, tensors: tuple[Tensor, ...]) -> Tensor:
        """Returns all elements: shape (elements,)."""
        return self.concat(self.map(self.flat, tensors))

    def flat(self, tensor: Tensor) -> Tensor:
        """Returns the elements of one tensor."""
        return tensor.reshape(-1)


class Split(nn.Cell):
    """Takes tensors out of a vector, all at once: slices compile half again as long.

    By the primitive of ``ops.split``, which does not compile itself with sizes.

    Args:
        like: Parameters of their shapes.
    """

    def __init__(self, like: Sequence[Parameter]) -> None:
        super().__init__(auto_prefix=False)
        self.sizes = tuple(parameter.size for parameter in like)
        self.like = ParameterTuple(like)
        self.map, self.split, self.reshape = ops.HyperMap(), SplitWithSize(), ops.Reshape()

    def construct(self, vector: Tensor) -> tuple[Tensor, ...]:
        """Returns the tensors."""
        return self.map(self.piece, self.split(vector, self.sizes, 0), self.like)

    def piece(self, values: Tensor, like: Parameter) -> Tensor:
        """Returns one tensor."""
        return self.reshape(values, like.shape)


class SetAll(nn.Cell):
    """Sets parameters to what a vector holds of them."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.split = Split(parameters)
        self.map, self.assign = ops.HyperMap(), ops.Assign()

    def construct(self, vector: Tensor) -> Tensor:
        """Sets all parameters; returns the vector."""
        self.map(self.set, self.parameters, self.split(vector))
        return vector

    def set(self, parameter: Parameter, value: Tensor) -> None:
        """Sets one parameter."""
        self.assign(parameter, value)
