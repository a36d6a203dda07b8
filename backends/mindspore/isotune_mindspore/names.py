"""Canonical names: PyTorch's name for each tensor of a cell."""

from __future__ import annotations

from collections.abc import Iterator

from mindspore import Parameter, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.shared_batch_norm import SharedNormalization

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
STATISTICS = {"moving_mean": "running_mean", "moving_variance": "running_var"}
AFFINE = {"gamma": "weight", "beta": "bias"}

RENAMED: tuple[tuple[tuple[type[nn.Cell], ...], dict[str, str]], ...] = (
    (BATCH_NORMS, {**AFFINE, **STATISTICS}),
    ((nn.LayerNorm, nn.GroupNorm), AFFINE),
    ((nn.Embedding,), {"embedding_table": "weight"}),
)
"""PyTorch's names of parameters that MindSpore names differently, by kind of layer."""


def all_tensors(model: nn.Cell) -> dict[str, Parameter]:
    """Returns parameters and BatchNorm statistics by canonical name."""
    return {name: parameter for name, parameter, _ in _tensors(model)}


def trainable_tensors(model: nn.Cell) -> dict[str, Parameter]:
    """Returns PyTorch's parameters, all except BatchNorm statistics, by canonical name."""
    return {name: parameter for name, parameter, statistic in _tensors(model) if not statistic}


def join(path: str, name: str) -> str:
    """Returns the path of `name` within the cell at `path` (empty for the outermost)."""
    return f"{path}.{name}" if path else name


def rename_by_path(model: nn.Cell) -> None:
    """Gives every parameter its path as a name, which makes the names unique.

    MindSpore composes names while cells are nested, so that some ways of building a model leave
    two parameters with one name, and the model then does not compile.
    """
    for path, parameter in model.parameters_and_names():
        parameter.name = path


def _tensors(model: nn.Cell) -> Iterator[tuple[str, Parameter, bool]]:
    seen = set()
    for path, cell in model.cells_and_names():
        if isinstance(cell, (Dropout, SharedNormalization)):
            continue
        names = next((names for kinds, names in RENAMED if isinstance(cell, kinds)), {})
        for name, parameter in cell.parameters_and_names(expand=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                statistic = isinstance(cell, BATCH_NORMS) and name in STATISTICS
                yield join(path, names.get(name, name)), parameter, statistic
