"""Loads the tensors of a backbone from a weights file of any format and dialect."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.catalogue.entries import BUILT_IN
from isotune.catalogue.layouts import Shapes, layout
from isotune.errors import WeightsError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.names import is_under
from isotune.weights.dialects.canonical import Canonical, describe_dropped, to_canonical
from isotune.weights.formats.read import read_weights
from isotune.weights.match import fits, match

logger = logging.getLogger(__name__)


def load_backbone(
    path: Path, entry: BackboneEntry, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[np.float32]]:
    """Reads a file of any format and dialect; logs its dialects and the changes to its tensors.

    Args:
        path: the file.
        entry: the backbone.
        expected: the backbone's shapes by canonical name.

    Returns:
        The backbone's tensors by canonical name, without its head: contiguous, float32.

    Raises:
        WeightsError: the file cannot be read or does not fit.
    """
    state, source = read_weights(path), str(path)
    canonical = to_canonical(state, entry, source, expected)
    log_conversion(canonical, source)
    try:
        return match(expected, canonical.tensors, entry, source)
    except WeightsError as error:
        others = [other.name for other in fitting(state)]
        hint = f" It fits backbone '{others[0]}'." if len(others) == 1 else ""
        raise WeightsError(f"{error}{hint}") from error


def log_conversion(canonical: Canonical, source: str) -> None:
    """Logs the dialects of a file and the names that were left out; warns of changed values."""
    dialects = ", ".join(canonical.dialects) or "none, canonical names"
    logger.info("%s: dialect: %s", source, dialects)
    if canonical.dropped:
        logger.info("%s: %s.", source, describe_dropped(canonical.dropped))
    for note in canonical.notes:
        logger.warning("%s: %s.", source, note)


def fitting(state: Mapping[str, NDArray[Any]]) -> list[BackboneEntry]:
    """Returns the built-in backbones whose names and shapes a file's tensors match."""
    entries = []
    for entry in BUILT_IN:
        expected = without_head(entry)
        if expected is None:
            continue
        try:
            tensors = to_canonical(state, entry, "", expected).tensors
        except WeightsError:
            continue
        if fits(expected, tensors, entry):
            entries.append(entry)
    return entries


def without_head(entry: BackboneEntry) -> Shapes | None:
    """Returns the shapes of a backbone's tensors except its last layer; None if not built in."""
    shapes = layout(entry.name)
    if shapes is None:
        return None
    return {n: shape for n, shape in shapes.items() if not is_under(entry.classifier, n)}
