"""Runs that are parts of something: the folds of a cross-validation, the trials of a sweep."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import resolve
from isotune.errors import RunError
from isotune.experiment.changes import differences
from isotune.plugins import Plugins
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec

MAY_CHANGE = (
    "dataset.path",
    "workers",
    "cache.images",
    "cache.memory",
    "cache.disk",
    "observers",
)
"""Fields that another machine may need to change, which leave the runs that have ended as they
are."""

_FILLED_IN = ("dataset.check",)
"""Fields in which a resumed run writes out what null stands for."""


def check_part(
    path: Path, spec: ExperimentSpec, backend: str, plugins: Plugins, whole: str
) -> None:
    """Refuses a run that was continued as another experiment.

    Args:
        path: The run's folder.
        spec: What it should be.
        backend: Name of the backend.
        plugins: Where backbones are found.
        whole: What the run is a part of, for the message.

    Raises:
        RunError: It is another experiment.
    """
    entry = chosen_backbone(spec.backbone, backend, plugins)
    ignored = (*MAY_CHANGE, *_FILLED_IN)
    for name, found, due in differences(RunFolder(path).spec(), resolve(spec, entry), ignored):
        raise RunError(
            f"{path}: is no longer a run of this {whole}: {name} is {found!r}, and should be"
            f" {due!r}; remove the folder to train it again."
        )


def taken_over(spec: ExperimentSpec) -> list[str]:
    """Returns as overrides what runs that are resumed take over of :data:`MAY_CHANGE`."""
    changes, fields = [], dump_spec(spec)
    for name in MAY_CHANGE:
        value: Any = reduce(dict.__getitem__, name.split("."), fields)
        changes.append(f"{name}={json.dumps(value)}")
    return changes
