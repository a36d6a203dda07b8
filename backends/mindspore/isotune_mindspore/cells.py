"""Cells within cells: finding one by its path, putting another in its place, keeping modes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mindspore import nn

from isotune_mindspore.names import rename_by_path


def find(model: nn.Cell, path: str) -> nn.Cell | None:
    """Returns the cell at a dotted `path`, or None."""
    cell = model
    for name in path.split("."):
        cell = cell.name_cells().get(name)
        if cell is None:
            return None
    return cell


def replace(model: nn.Cell, path: str, new: nn.Cell) -> None:
    """Puts `new` where the cell at `path` is; it takes its place in the order and its names."""
    *parents, name = path.split(".")
    parent = find(model, ".".join(parents)) if parents else model
    if isinstance(parent, (nn.SequentialCell, nn.CellList)):
        # Their children also lie in a list, which setattr would leave as it was.
        parent[list(parent.name_cells()).index(name)] = new
    else:
        setattr(parent, name, new)
    rename_by_path(model)


@contextmanager
def modes_kept(model: nn.Cell) -> Iterator[None]:
    """Gives each cell its present mode, training or evaluation, again afterwards."""
    modes = [(cell, cell.training) for _, cell in model.cells_and_names()]
    try:
        yield
    finally:
        model.set_train(modes[0][1])
        for cell, mode in modes:
            cell.add_flags(training=mode)
