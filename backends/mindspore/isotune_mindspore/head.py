"""Head: finds and swaps the last Dense layer."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn

from isotune.errors import BackendError, nearest
from isotune.interfaces.head import Heads, LinearValues
from isotune_mindspore.cells import find, replace


class MindSporeHeads(Heads):
    """``nn.Dense`` keeps its weight as PyTorch's linear layer does: (outputs, inputs)."""

    def in_features(self, model: nn.Cell, classifier: str) -> int:
        """Returns the input width of the Dense layer at path `classifier`.

        Raises:
            BackendError: there is no Dense layer at that path.
        """
        return int(_dense(model, classifier).in_channels)

    def replace(self, model: nn.Cell, classifier: str, values: LinearValues) -> None:
        """Puts a new Dense layer with exactly these values at path `classifier`, in place.

        Raises:
            BackendError: there is no Dense layer at that path.
        """
        training = _dense(model, classifier).training
        outputs, inputs = values.weight.shape
        dense = nn.Dense(inputs, outputs, weight_init="zeros", bias_init="zeros")
        dense.weight = Parameter(Tensor(np.array(values.weight, np.float32)), name="weight")
        dense.bias = Parameter(Tensor(np.array(values.bias, np.float32)), name="bias")
        dense.set_train(training)
        replace(model, classifier, dense)


def _dense(model: nn.Cell, path: str) -> nn.Dense:
    cell = find(model, path)
    if isinstance(cell, nn.Dense):
        return cell
    found = [name for name, cell in model.cells_and_names() if isinstance(cell, nn.Dense)]
    kind = type(cell).__name__ if cell else "nothing"
    raise BackendError(
        f"{type(model).__name__} has {kind} at '{path}' where a Dense layer is needed."
        f"{nearest(path, found)} Dense layers are at: {', '.join(found) or 'nowhere'}."
    )
