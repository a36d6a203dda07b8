"""Backbone: MindSpore's native models."""

from __future__ import annotations

from typing import Any

from mindspore import nn

from isotune.errors import BackendError
from isotune.interfaces.backbone import BackboneEntry, Backbones
from isotune_mindspore.cells import replace
from isotune_mindspore.dropout import Dropout
from isotune_mindspore.models import MODELS
from isotune_mindspore.models.vision_transformer import VISION_TRANSFORMERS
from isotune_mindspore.names import rename_by_path


class MindSporeBackbones(Backbones):
    """The models of :mod:`isotune_mindspore.models`, and any other ``nn.Cell``."""

    def names(self) -> tuple[str, ...]:
        """Returns the catalogue names that this backend builds, sorted."""
        return tuple(sorted(MODELS))

    def build(self, entry: BackboneEntry) -> nn.Cell:
        """Builds a backbone of :meth:`names` with its original head; most values are zero."""
        size = entry.preprocessing.input_size
        sizes = {"image_size": size} if entry.name in VISION_TRANSFORMERS else {}
        return self.adopt(MODELS[entry.name](**sizes))

    def adopt(self, model: Any) -> nn.Cell:
        """Prepares a cell that was built elsewhere for training, in place, and returns it.

        Parameters are named after their paths. Each ``nn.Dropout`` that drops anything is
        replaced by one whose masks are the core's.

        Raises:
            BackendError: `model` is not an ``nn.Cell``.
        """
        if not isinstance(model, nn.Cell):
            raise BackendError(
                f"the mindspore backend needs a mindspore.nn.Cell, not a {type(model).__name__}."
            )
        rename_by_path(model)
        for path, cell in list(model.cells_and_names()):
            if isinstance(cell, nn.Dropout) and (p := _drop_probability(cell)) > 0:
                replace(model, path, Dropout(p))
        return model


def _drop_probability(cell: nn.Dropout) -> float:
    # With the deprecated `keep_prob`, `p` is None.
    return float(1 - cell.keep_prob if cell.p is None else cell.p)
