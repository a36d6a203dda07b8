"""Weights as the frameworks' own users save and load them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Native:
    """A framework's own file format.

    Attributes:
        suffix: how its files are called.
        save: writes a model's weights.
        load: reads them into a model and fails unless all names are there and no others.
    """

    suffix: str
    save: Callable[[Any, Path], None]
    load: Callable[[Any, Path], None]


def _save_torch(model: Any, path: Path) -> None:
    import torch

    torch.save(model.state_dict(), path)


def _load_torch(model: Any, path: Path) -> None:
    import torch

    model.load_state_dict(torch.load(path, weights_only=True), strict=True)


def _save_mindspore(model: Any, path: Path) -> None:
    from mindspore import save_checkpoint

    save_checkpoint(model, str(path))


def _load_mindspore(model: Any, path: Path) -> None:
    from mindspore import load_checkpoint, load_param_into_net

    values = load_checkpoint(str(path))
    missing, unexpected = load_param_into_net(model, values)
    assert unexpected == []
    # A dropout layer's place in its random numbers is no weight.
    assert all(name.endswith(".seed") for name in missing)


FORMATS = {
    "torch": Native("pth", _save_torch, _load_torch),
    "mindspore": Native("ckpt", _save_mindspore, _load_mindspore),
}
