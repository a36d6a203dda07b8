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
from isotune.weights.dialects.canonical import Canonical, describe_left_out
from isotune.weights.dialects.differences import describe_difference
from isotune.weights.formats.files import FileTensors
from isotune.weights.formats.read import read_weights
from isotune.weights.match import check_finite, match
from isotune.weights.selection import AmbiguousWeights, Models

logger = logging.getLogger(__name__)


def load_backbone(
    path: Path,
    entry: BackboneEntry,
    expected: Mapping[str, tuple[int, ...]],
    prefix: str | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Reads a file of any format and dialect; logs its dialects and the changes to its tensors.

    Args:
        path: the file.
        entry: the backbone.
        expected: the backbone's shapes by canonical name.
        prefix: what the names of the wanted model begin with, if the file holds several.

    Returns:
        The backbone's tensors by canonical name, without its head: contiguous, float32.

    Raises:
        WeightsError: the file cannot be read or does not fit, holds several models that do, or has
            values that are not finite.
    """
    prefix = with_dot(prefix)
    state, source = read_weights(path, prefix), str(path)
    canonical = Models(state, source, prefix).choose(entry, expected)
    log_conversion(canonical, state, source)
    try:
        matched = match(expected, canonical.tensors, entry, source)
        check_finite(canonical.tensors, source)
        return matched
    except WeightsError as error:
        others = [other.name for other in fitting(state, prefix)]
        hint = f" It fits backbone '{others[0]}'." if len(others) == 1 else ""
        difference = "" if hint else describe_difference(state, entry.name)
        raise WeightsError(f"{error}{hint}{difference}") from error


def log_conversion(canonical: Canonical, state: FileTensors, source: str) -> None:
    """Logs the dialects of a file; warns of what was left out and of changed values."""
    dialects = ", ".join(canonical.dialects) or "none, canonical names"
    logger.info("%s: dialect: %s", source, dialects)
    for note in notes(canonical, state):
        logger.warning("%s: %s.", source, note)


def notes(canonical: Canonical, state: FileTensors) -> tuple[str, ...]:
    """Returns sentences about what was left out of a file, and about changed values."""
    said = list(canonical.notes)
    if state.unsupported:
        more = f"; {len(state.unsupported) - 1} more such" if len(state.unsupported) > 1 else ""
        said.insert(0, f"{state.unsupported[0]}{more}")
    if canonical.dropped or state.beside:
        said.insert(0, describe_left_out(canonical.dropped, state.beside))
    return tuple(said)


def with_dot(prefix: str | None) -> str | None:
    """Returns a prefix of names as it stands in them, with a dot at the end."""
    return None if prefix is None else f"{prefix.rstrip('.')}."


def fitting(state: Mapping[str, NDArray[Any]], prefix: str | None = None) -> list[BackboneEntry]:
    """Returns the built-in backbones whose names and shapes a file's tensors match.

    Args:
        state: arrays by name, as read.
        prefix: beginning of the names of the wanted model, with the dot; None finds it.
    """
    models = Models(state, "", prefix)
    known = [(entry, expected) for entry in BUILT_IN if (expected := without_head(entry))]
    whole = [entry for entry, expected in known if models.whole(entry, expected)]
    return whole or [entry for entry, expected in known if _has_part(models, entry, expected)]


def _has_part(models: Models, entry: BackboneEntry, expected: Shapes) -> bool:
    try:
        return models.part(entry, expected) is not None
    except AmbiguousWeights:
        return True


def without_head(entry: BackboneEntry) -> Shapes | None:
    """Returns the shapes of a backbone's tensors except its last layer; None if not built in."""
    shapes = layout(entry.name)
    if shapes is None:
        return None
    return {n: shape for n, shape in shapes.items() if not is_under(entry.classifier, n)}
