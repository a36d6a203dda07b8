"""Head: finds, swaps and takes out the layers at a path."""

from __future__ import annotations

from isotune.errors import BackendError
from isotune.interfaces.head import Heads, HeadValues, LinearValues
from isotune.interfaces.names import is_under
from numpy_backend.backbone import Net
from numpy_backend.layers import Activation, Dropout, Layer, Linear


class NumpyHeads(Heads):
    """A head of several layers stands under its path: ``fc.0``, ``fc.1`` and so on."""

    def in_features(self, model: Net, path: str) -> int:
        for layer in layers_at(model, path).values():
            if isinstance(layer, Linear):
                return int(layer.parameters["weight"].shape[1])
        linear = [name for name, layer in model.layers.items() if isinstance(layer, Linear)]
        raise BackendError(
            f"the model has no linear layer at '{path}'; its linear layers are:"
            f" {', '.join(linear) or 'none'}."
        )

    def replace(self, model: Net, path: str, head: HeadValues) -> None:
        if head.convolutional:
            raise BackendError("the numpy backend has no convolutional heads.")
        if (width := self.in_features(model, path)) != head.in_features:
            raise BackendError(
                f"a head with {head.in_features} inputs cannot replace '{path}', which has {width}."
            )
        old = layers_at(model, path)
        rest = {name: layer for name, layer in model.layers.items() if name not in old}
        model.layers = {**rest, **new_layers(path, head)}

    def detach(self, model: Net, path: str) -> Net:
        self.in_features(model, path)
        head = layers_at(model, path)
        for name in head:
            del model.layers[name]
        return Net(**head)

    def attach(self, model: Net, path: str, head: Net) -> None:
        model.layers.update(head.layers)


def layers_at(model: Net, path: str) -> dict[str, Layer]:
    """Returns the layers at `path` and under it."""
    return {
        name: layer
        for name, layer in model.layers.items()
        if name == path or (path and is_under(path, name))
    }


def new_layers(path: str, head: HeadValues) -> dict[str, Layer]:
    """Returns the layers of a new head, which own their values."""
    if not head.hidden:
        return {path: linear(head.output)}
    layers: list[Layer] = []
    for hidden in head.hidden:
        layers += [linear(hidden.linear), Activation(hidden.activation), Dropout(hidden.dropout)]
    layers.append(linear(head.output))
    return {f"{path}.{i}": layer for i, layer in enumerate(layers)}


def linear(values: LinearValues) -> Linear:
    """Returns a linear layer with copies of the values."""
    return Linear(values.weight.copy(), values.bias.copy())
