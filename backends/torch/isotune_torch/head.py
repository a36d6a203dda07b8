"""Head: finds and swaps the last linear layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from isotune.errors import BackendError
from isotune.interfaces.head import Heads, LinearValues
from isotune_torch.arrays import to_tensor


class TorchHeads(Heads):
    """Finds the classifier by its path in the module tree: ``fc``, ``classifier.1``."""

    def in_features(self, model: nn.Module, classifier: str) -> int:
        """Returns the input width of the ``nn.Linear`` at path `classifier`.

        Raises:
            BackendError: there is no ``nn.Linear`` at that path.
        """
        return int(_linear(model, classifier).in_features)

    def replace(self, model: nn.Module, classifier: str, values: LinearValues) -> None:
        """Puts a new ``nn.Linear`` with a copy of `values` at path `classifier`.

        Raises:
            BackendError: there is no ``nn.Linear`` at that path, or of another input width.
        """
        old = _linear(model, classifier)
        outputs, inputs = values.weight.shape
        if inputs != old.in_features:
            raise BackendError(
                f"a head with {inputs} inputs cannot replace '{classifier}' of"
                f" {type(model).__name__}, which has {old.in_features}."
            )
        new = nn.utils.skip_init(nn.Linear, inputs, outputs, device=old.weight.device)
        with torch.no_grad():
            new.weight.copy_(to_tensor(values.weight))
            new.bias.copy_(to_tensor(values.bias))
        new.train(old.training)
        parent, _, name = classifier.rpartition(".")
        setattr(model.get_submodule(parent), name, new)


def _linear(model: nn.Module, path: str) -> Any:
    try:
        layer = model.get_submodule(path) if path else None
    except AttributeError:
        layer = None
    if isinstance(layer, nn.Linear):
        return layer
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    raise BackendError(
        f"{type(model).__name__} has no linear layer at '{path}';"
        f" its linear layers are: {', '.join(linear) or 'none'}."
    )
