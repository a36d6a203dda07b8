"""Head: find and swap the linear layer at a path."""

from __future__ import annotations

from isotune.errors import BackendError
from isotune.interfaces.head import Heads, LinearValues
from numpy_backend.backbone import Linear, LinearNet


class NumpyHeads(Heads):
    """A path is the name of an attribute, for a model without nested layers."""

    def in_features(self, model: LinearNet, classifier: str) -> int:
        return int(self._find(model, classifier).weight.shape[1])

    def replace(self, model: LinearNet, classifier: str, values: LinearValues) -> None:
        self._find(model, classifier)
        setattr(model, classifier, Linear(values.weight.copy(), values.bias.copy()))

    def _find(self, model: LinearNet, classifier: str) -> Linear:
        layer = getattr(model, classifier, None)
        if not isinstance(layer, Linear):
            raise BackendError(f"the model has no linear layer at '{classifier}', but one at 'fc'.")
        return layer
