"""What processes find that a launcher has started anew, after some of them had failed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from isotune.catalogue.entries import chosen_backbone
from isotune.catalogue.resolve import resolve
from isotune.distributed.joined import Joined
from isotune.errors import RunError, SpecError
from isotune.experiment.changes import differences
from isotune.experiment.processes import is_run
from isotune.plugins import Plugins
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec

Before = Literal["nothing", "unfinished", "finished"]
"""How far a run has come before the processes were started anew."""

IGNORED = ("dataset.check", "observers")
"""Fields that a run writes out although its spec left them open, or that decide nothing."""


def run_before_restart(
    others: Joined, spec: ExperimentSpec, where: Path | None, plugins: Plugins
) -> Before:
    """Returns how far a run has come whose launcher starts processes anew after a failure.

    Args:
        others: The processes.
        spec: The loaded spec.
        where: The run folder.
        plugins: Where backbones are found.

    Raises:
        SpecError: There is no name by which processes that are started anew find the folder.
        RunError: The folder is another experiment's.
    """
    group = others.group
    if where is None:
        raise SpecError(
            "output: name the run folder (--output FOLDER): the launcher starts processes anew"
            " after a failure (--max-restarts), and by its name they find what there is of the run."
        )
    if not group.place.restarts:
        return "nothing"
    folder = where

    def look() -> Before:
        return (
            _found(RunFolder(folder), spec, others.name, plugins) if is_run(folder) else "nothing"
        )

    found = group.together(look if group.place.leads else lambda: None)
    shared = group.share(None if found is None else found.encode())
    return cast("Before", shared.decode())


def _found(
    folder: RunFolder, spec: ExperimentSpec, backend: str | None, plugins: Plugins
) -> Before:
    assert backend is not None, "a launcher is that of a backend"
    entry = chosen_backbone(spec.backbone, backend, plugins)
    for name, found, due in differences(folder.spec(), resolve(spec, entry), IGNORED):
        raise RunError(
            f"{folder.path}: is the folder of another run, where {name} is {found!r} instead of"
            f" {due!r}; name a new or empty folder."
        )
    return "finished" if folder.summary().state == "finished" else "unfinished"
