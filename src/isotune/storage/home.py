"""The home folder of datasets, weights and caches: ``$ISOTUNE_HOME``, or ``~/.cache/isotune``."""

from __future__ import annotations

import os
from pathlib import Path

from isotune.storage.paths import expanded


def home() -> Path:
    """Returns ``$ISOTUNE_HOME`` as an absolute path; it need not exist."""
    return expanded(os.environ.get("ISOTUNE_HOME") or "~/.cache/isotune").resolve()


def datasets() -> Path:
    """Returns the folder of datasets."""
    return home() / "datasets"


def weights() -> Path:
    """Returns the folder of weights."""
    return home() / "weights"
