"""Head: finds, swaps and takes out the classifier."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from isotune.errors import BackendError
from isotune.interfaces.head import Heads, HeadValues, LinearValues
from isotune.spec.head import Activation
from isotune_torch.arrays import to_tensor
from isotune_torch.random_values import WithoutRandomValues

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class TorchHeads(Heads):
    """Finds the classifier by its path in the module tree: ``fc``, ``classifier``."""

    def in_features(self, model: nn.Module, path: str) -> int:
        """Returns the input width of the ``nn.Linear`` at `path`, or of the first one under it.

        An ``nn.Conv2d`` of 1 x 1 at `path` itself counts as one.

        Raises:
            BackendError: there is no ``nn.Linear`` at that path or under it.
        """
        return _width(_first_linear(model, path))

    def replace(self, model: nn.Module, path: str, head: HeadValues) -> None:
        """Puts an ``nn.Linear`` or ``nn.Sequential`` with copies of the values at `path`.

        Raises:
            BackendError: there is no ``nn.Linear`` at that path or under it, or of another
                input width.
        """
        old = _first_linear(model, path)
        if head.in_features != _width(old):
            raise BackendError(
                f"a head with {head.in_features} inputs cannot replace '{path}' of"
                f" {type(model).__name__}, which has {_width(old)}."
            )
        new = _head(head, old.weight.device)
        new.train(old.training)
        _put(model, path, new)

    def detach(self, model: nn.Module, path: str) -> nn.Module:
        """Puts an ``nn.Identity`` at `path`.

        Returns:
            An ``nn.Sequential`` that holds what was there, under the same path.

        Raises:
            BackendError: there is no ``nn.Linear`` at that path or under it.
        """
        _first_linear(model, path)
        head = model.get_submodule(path)
        _put(model, path, nn.Identity().train(head.training))
        for name in reversed(path.split(".")):
            head = nn.Sequential(OrderedDict([(name, head)]))
        return head

    def attach(self, model: nn.Module, path: str, head: nn.Module) -> None:
        """Puts what :meth:`detach` took from `path` there again."""
        _put(model, path, head.get_submodule(path))


def _put(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def _head(head: HeadValues, device: torch.device) -> nn.Module:
    linear = _convolution if head.convolutional else _linear
    output = linear(head.output, device)
    if not head.hidden:
        return output
    layers: list[nn.Module] = []
    for hidden in head.hidden:
        layers.append(linear(hidden.linear, device))
        layers.append(ACTIVATIONS[hidden.activation]())
        layers.append(nn.Dropout(hidden.dropout))
    return nn.Sequential(*layers, output)


def _linear(values: LinearValues, device: torch.device) -> nn.Linear:
    outputs, inputs = values.weight.shape
    with WithoutRandomValues(), torch.no_grad():
        layer = nn.Linear(inputs, outputs, device=device)
        layer.weight.copy_(to_tensor(values.weight))
        layer.bias.copy_(to_tensor(values.bias))
    return layer


def _convolution(values: LinearValues, device: torch.device) -> nn.Conv2d:
    outputs, inputs = values.weight.shape
    with WithoutRandomValues(), torch.no_grad():
        layer = nn.Conv2d(inputs, outputs, 1, device=device)
        layer.weight.copy_(to_tensor(values.weight[:, :, None, None]))
        layer.bias.copy_(to_tensor(values.bias))
    return layer


def _width(layer: nn.Linear | nn.Conv2d) -> int:
    return int(layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)


def _first_linear(model: nn.Module, path: str) -> Any:
    try:
        block = model.get_submodule(path) if path else None
    except AttributeError:
        block = None
    if isinstance(block, nn.Conv2d) and block.kernel_size == (1, 1):
        return block
    for layer in block.modules() if block is not None else ():
        if isinstance(layer, nn.Linear):
            return layer
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    raise BackendError(
        f"{type(model).__name__} has no linear layer at '{path}';"
        f" its linear layers are: {', '.join(linear) or 'none'}."
    )
