"""Head: find and swap the linear layer at a path."""

from __future__ import annotations

from copy import copy

from isotune.errors import BackendError
from isotune.interfaces.head import Heads, HeadValues
from numpy_backend.backbone import Linear, LinearNet


class NumpyHeads(Heads):
    """A path is the name of an attribute, for a model without nested layers."""

    def in_features(self, model: LinearNet, path: str) -> int:
        return int(self._find(model, path).weight.shape[1])

    def replace(self, model: LinearNet, path: str, head: HeadValues) -> None:
        old, new = self._find(model, path), head.output
        if head.hidden:
            raise BackendError("the numpy backend trains linear heads only.")
        if old.weight.shape[1] != head.in_features:
            raise BackendError(
                f"a head with {head.in_features} inputs cannot replace '{path}', which has"
                f" {old.weight.shape[1]}."
            )
        setattr(model, path, Linear(new.weight.copy(), new.bias.copy()))

    def detach(self, model: LinearNet, path: str) -> LinearNet:
        self._find(model, path)
        head = copy(model)
        model.fc = None
        return head

    def attach(self, model: LinearNet, path: str, head: LinearNet) -> None:
        model.fc = head.fc

    def _find(self, model: LinearNet, path: str) -> Linear:
        layer = getattr(model, path, None)
        if not isinstance(layer, Linear):
            raise BackendError(f"the model has no linear layer at '{path}', but one at 'fc'.")
        return layer
