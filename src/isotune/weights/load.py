"""A weights file, whoever wrote it, becomes the tensors of a backbone."""

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
    """Reads a file of any format and dialect; logs what was recognized and what was changed.

    Args:
        path: the file.
        entry: the backbone.
        expected: the backbone's shapes by canonical name.

    Returns:
        The backbone's tensors, contiguous and float32, by canonical name, without its head.

    Raises:
        WeightsError: the file cannot be read, or does not fit.
    """
    state, source = read_weights(path), str(path)
    found = to_canonical(state, entry, source, expected)
    tell(found, source)
    try:
        return match(expected, found.tensors, entry, source)
    except WeightsError as error:
        others = [other.name for other in fitting(state)]
        hint = f" It fits backbone '{others[0]}'." if len(others) == 1 else ""
        raise WeightsError(f"{error}{hint}") from error


def tell(found: Canonical, source: str) -> None:
    """Logs what was recognized in a file; warns of what was changed."""
    logger.info("%s: dialect: %s", source, ", ".join(found.dialects) or "none, canonical names")
    if found.dropped:
        logger.info("%s: %s.", source, describe_dropped(found.dropped))
    for note in found.notes:
        logger.warning("%s: %s.", source, note)


def fitting(state: Mapping[str, NDArray[Any]]) -> list[BackboneEntry]:
    """Returns the built-in backbones that a file's tensors fit by name and shape."""
    found = []
    for entry in BUILT_IN:
        expected = without_head(entry)
        if expected is None:
            continue
        try:
            tensors = to_canonical(state, entry, "", expected).tensors
        except WeightsError:
            continue
        if fits(expected, tensors, entry):
            found.append(entry)
    return found


def without_head(entry: BackboneEntry) -> Shapes | None:
    """Returns the shapes of a built-in backbone's tensors but its last layer's; else None."""
    shapes = layout(entry.name)
    if shapes is None:
        return None
    return {n: shape for n, shape in shapes.items() if not is_under(entry.classifier, n)}
