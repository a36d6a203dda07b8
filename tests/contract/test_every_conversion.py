"""What `convert` writes, the frameworks' own loaders take: the smallest backbone of a family.

``python -m contract.every_conversion`` does so with all of them, which takes too long for here;
``tests/weights/test_save.py`` compares names and shapes of all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.every_conversion import LOADERS, check
from isotune.catalogue.entries import BUILT_IN

LARGE = ("alexnet", "vgg", "wide_resnet")
"""Families of large models whose layers are all of kinds that others have."""

SMALLEST = {
    entry.family: entry.name
    for entry in sorted(BUILT_IN, key=lambda entry: entry.parameters or 0, reverse=True)
    if entry.family not in LARGE
}


@pytest.mark.parametrize("name", sorted(SMALLEST.values()))
@pytest.mark.parametrize("suffix", LOADERS)
def test_a_converted_file_is_loaded_strictly(suffix: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip({"pth": "torchvision", "ckpt": "mindspore"}[suffix])
    check(name, suffix, tmp_path)
