"""Head: finds, swaps and takes out the classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import numpy as np
from mindspore import Parameter, Tensor, nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.head import Heads, HeadValues, LinearValues
from isotune.spec.head import Activation
from isotune_mindspore.cells import find, replace
from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models.layers import conv
from isotune_mindspore.names import rename_by_path

ACTIVATIONS: dict[Activation, Callable[[], nn.Cell]] = {
    "relu": nn.ReLU,
    "gelu": partial(nn.GELU, approximate=False),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class MindSporeHeads(Heads):
    """``nn.Dense`` keeps its weight as PyTorch's linear layer does: (outputs, inputs)."""

    def in_features(self, model: nn.Cell, path: str) -> int:
        """Returns the input width of the Dense layer at `path`, or of the first one under it.

        A Conv2d of 1 x 1 at `path` itself counts as one.

        Raises:
            BackendError: there is no Dense layer at that path or under it.
        """
        return int(_first_dense(model, path).in_channels)

    def replace(self, model: nn.Cell, path: str, head: HeadValues) -> None:
        """Puts a Dense layer or a SequentialCell with exactly these values at `path`.

        Raises:
            BackendError: there is no Dense layer at that path or under it, or of another input
                width.
        """
        old = _first_dense(model, path)
        if head.in_features != old.in_channels:
            raise BackendError(
                f"a head with {head.in_features} inputs cannot replace '{path}' of"
                f" {type(model).__name__}, which has {old.in_channels}."
            )
        new = _head(head)
        new.set_train(old.training)
        replace(model, path, new)

    def detach(self, model: nn.Cell, path: str) -> nn.Cell:
        """Puts an ``nn.Identity`` at `path`.

        Returns:
            A SequentialCell that holds what was there, under the same path.

        Raises:
            BackendError: there is no Dense layer at that path or under it.
        """
        _first_dense(model, path)
        head = find(model, path)
        replace(model, path, nn.Identity())
        for name in reversed(path.split(".")):
            head = nn.SequentialCell(OrderedDict([(name, head)]))
        rename_by_path(head)
        return head

    def attach(self, model: nn.Cell, path: str, head: nn.Cell) -> None:
        """Puts what :meth:`detach` took from `path` there again."""
        replace(model, path, find(head, path))


def _head(head: HeadValues) -> nn.Cell:
    linear = _convolution if head.convolutional else _dense
    output = linear(head.output)
    if not head.hidden:
        return output
    layers: list[nn.Cell] = []
    for hidden in head.hidden:
        layers.append(linear(hidden.linear))
        layers.append(ACTIVATIONS[hidden.activation]())
        layers.append(Dropout(hidden.dropout) if hidden.dropout else nn.Identity())
    return nn.SequentialCell([*layers, output])


def _dense(values: LinearValues) -> nn.Dense:
    outputs, inputs = values.weight.shape
    dense = nn.Dense(inputs, outputs, weight_init="zeros", bias_init="zeros")
    dense.weight = Parameter(Tensor(np.array(values.weight, np.float32)), name="weight")
    dense.bias = Parameter(Tensor(np.array(values.bias, np.float32)), name="bias")
    return dense


def _convolution(values: LinearValues) -> nn.Conv2d:
    outputs, inputs = values.weight.shape
    convolution = conv(inputs, outputs, 1, bias=True)
    weight = np.array(values.weight[:, :, None, None], np.float32)
    convolution.weight = Parameter(Tensor(weight), name="weight")
    convolution.bias = Parameter(Tensor(np.array(values.bias, np.float32)), name="bias")
    return convolution


def _first_dense(model: nn.Cell, path: str) -> nn.Dense | nn.Conv2d:
    block = find(model, path)
    if isinstance(block, nn.Conv2d) and block.kernel_size == (1, 1):
        return block
    for _, cell in block.cells_and_names() if block else ():
        if isinstance(cell, nn.Dense):
            return cell
    dense = [name for name, cell in model.cells_and_names() if isinstance(cell, nn.Dense)]
    kind = type(block).__name__ if block else "nothing"
    raise BackendError(
        f"{type(model).__name__} has {kind} at '{path}' where a Dense layer is needed."
        f"{nearest(path, dense)} Dense layers are at: {', '.join(dense) or 'nowhere'}."
    )
