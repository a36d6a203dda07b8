"""Saves a model's tensors so that each framework's own class of the backbone loads them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from isotune.catalogue.entries import BUILT_IN
from isotune.catalogue.layouts import in_layout_order
from isotune.catalogue.windows import log_spaced, relative_positions
from isotune.weights.formats.write import Arrays, TorchExtras, write_weights

FAMILIES = {entry.name: entry.family for entry in BUILT_IN}

SWIN_V2_WINDOW = 8
"""Height and width of the windows of torchvision's ``swin_v2_*``."""


def save_weights(path: str | Path, state: Arrays, backbone: str) -> None:
    """Writes a model's tensors in the format that the suffix of `path` names.

    A ``.pth`` goes into torchvision's class with ``load_state_dict(strict=True)``, whatever head
    it has, a ``.ckpt`` into the MindSpore backend's cell with ``load_param_into_net``.

    Equal tensors give equal bytes, whatever their order in `state`.

    Args:
        path: The file. Its folder must exist; an existing file is replaced.
        state: Arrays by canonical name.
        backbone: Name of the backbone.

    Raises:
        WeightsError: no format has this suffix, it does not support a tensor's dtype, or the file
            cannot be written.
    """
    write_weights(path, in_layout_order(backbone, state), torch_extras(state, backbone))


def torch_extras(state: Arrays, backbone: str) -> TorchExtras:
    """Returns what a backbone's torchvision class expects in a state dict beside `state`."""
    extras = EXTRAS.get(FAMILIES.get(backbone, ""))
    return extras(state) if extras else TorchExtras()


def _swin(state: Arrays) -> TorchExtras:
    return TorchExtras({name: rows.reshape(-1) for name, rows in _tables_of_biases(state).items()})


def _maxvit(state: Arrays) -> TorchExtras:
    return TorchExtras(_tables_of_biases(state))


def _tables_of_biases(state: Arrays) -> dict[str, NDArray[Any]]:
    """Returns ``relative_position_index`` for each ``relative_position_bias_table``."""
    found = {}
    for name, table in state.items():
        path, _, last = name.rpartition(".")
        if last == "relative_position_bias_table":
            side = math.isqrt(len(table))  # 2 * window - 1
            found[f"{path}.relative_position_index"] = relative_positions((side + 1) // 2)
    return found


def _swin_v2(state: Arrays) -> TorchExtras:
    last = ".cpb_mlp.0.weight"
    buffers: dict[str, NDArray[Any]] = {}
    for path in (name.removesuffix(last) for name in state if name.endswith(last)):
        buffers[f"{path}.relative_coords_table"] = log_spaced(SWIN_V2_WINDOW)[None]
        rows = relative_positions(SWIN_V2_WINDOW).reshape(-1)
        buffers[f"{path}.relative_position_index"] = rows
    return TorchExtras(buffers)


def _mnasnet(state: Arrays) -> TorchExtras:
    # Without a version torchvision refuses the file; version 1 had other widths.
    return TorchExtras(versions={"": 2})


EXTRAS: Mapping[str, Callable[[Arrays], TorchExtras]] = {
    "maxvit": _maxvit,
    "mnasnet": _mnasnet,
    "swin": _swin,
    "swin_v2": _swin_v2,
}
"""What torchvision's state dicts have besides, by family."""
