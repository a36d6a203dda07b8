"""Opens a split of a dataset, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isotune.data.sources.cifar10 import Cifar10Source
from isotune.data.sources.folder import FolderSource
from isotune.interfaces.dataset import ImageSource

Opener = Callable[[Path, str, "tuple[str, ...] | None"], ImageSource]

FORMATS: dict[str, Opener] = {"folder": FolderSource, "cifar10": Cifar10Source}
"""What opens a split, by ``dataset.format``: called with the dataset's folder, the split's name
and the classes it must have, in label order, or None."""
