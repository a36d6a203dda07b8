"""Whether the frameworks' own loaders take what ``convert`` writes, for every backbone.

``PYTHONPATH=tests python -m contract.every_conversion [NAME ...]`` converts random weights of all
backbones of the catalogue, or of those named, to ``.pth`` and ``.ckpt`` and prints a table. That
takes half an hour, 10 GB of memory and as much disk.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

import isotune
from contract.truth import CATALOGUE
from isotune.catalogue.layouts import layout
from isotune.interfaces.names import NO_STATE

Arrays = dict[str, NDArray[Any]]

OFFSET = 97
"""How far apart equal values of consecutive tensors are."""


def random_state(name: str) -> Arrays:
    """Returns a state of a backbone in which no two tensors are equal."""
    shapes = layout(name) or {}
    sizes = [math.prod(shape) for shape in shapes.values()]
    values = np.random.default_rng(0).random(max(sizes) + OFFSET * len(sizes), np.float32)
    return {
        key: values[OFFSET * i : OFFSET * i + math.prod(shape)].reshape(shape)
        for i, (key, shape) in enumerate(shapes.items())
    }


def load_torch(name: str, path: Path) -> Arrays:
    """Loads a ``.pth`` into torchvision's own class, strictly; returns its weights.

    The constants among its buffers must be those that the class had before.
    """
    import torch

    from isotune_torch.backbone import BUILDERS, WithoutRandomValues

    with WithoutRandomValues():
        model = BUILDERS[name]()
    constants = {
        key: value.clone()
        for key, value in model.state_dict().items()
        if key.rpartition(".")[2] in NO_STATE
    }
    model.load_state_dict(torch.load(path, weights_only=True), strict=True)
    loaded = dict(model.state_dict())
    for key, value in constants.items():
        found = loaded.pop(key)
        assert found.dtype == value.dtype
        torch.testing.assert_close(found, value, rtol=1e-7, atol=0)
    return {key: value.numpy() for key, value in loaded.items()}


def load_mindspore(name: str, path: Path) -> Arrays:
    """Loads a ``.ckpt`` into the backend's own cell, strictly; returns its weights."""
    from mindspore import load_checkpoint, load_param_into_net

    from isotune_mindspore.backbone import MindSporeBackbones
    from isotune_mindspore.checkpoint import MindSporeStateAdapter

    cell = MindSporeBackbones().build(CATALOGUE[name])
    missing, unexpected = load_param_into_net(cell, load_checkpoint(str(path)), strict_load=True)
    assert unexpected == []
    # A dropout layer's seed is its place in its random numbers, which belongs to no weights.
    assert [name for name in missing if not name.endswith(".seed")] == []
    return dict(MindSporeStateAdapter().export_model(cell))


LOADERS = {"pth": load_torch, "ckpt": load_mindspore}


def check(name: str, suffix: str, folder: Path) -> None:
    """Converts a backbone's random weights to a format, loads them, and compares every value."""
    source, target = folder / f"{name}.safetensors", folder / f"{name}.{suffix}"
    expected = random_state(name)
    save_file(expected, source)
    isotune.convert(source, target, backbone=name)
    source.unlink()
    try:
        assert_equal(LOADERS[suffix](name, target), expected)
    finally:
        target.unlink()


def assert_equal(found: Mapping[str, NDArray[Any]], expected: Arrays) -> None:
    """Asserts that names and values are equal."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


def main(names: list[str]) -> None:
    print("| backbone | .pth | .ckpt |\n|---|---|---|")
    for name in names or sorted(CATALOGUE):
        cells = []
        for suffix in LOADERS:
            with tempfile.TemporaryDirectory() as folder:
                check(name, suffix, Path(folder))
            cells.append("loaded")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
