"""Where a run belongs: beside which others its log is kept, and what it is a part of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from isotune.interfaces.events import RunStarted
from isotune.runs.folder import CROSS_VALIDATION, SWEEP


@dataclass(frozen=True)
class Place:
    """The place of a run among others.

    Attributes:
        root: Absolute path of the folder of all runs, in which a store that they share is kept.
        name: Name of the run: that of its folder, after that of the whole it is a part of.
        group: Name of the folder of the cross-validation or sweep that it is a part of, if any.
    """

    root: Path
    name: str
    group: str | None = None

    @classmethod
    def of(cls, folder: Path) -> Place:
        """Returns the place of a run, given its folder."""
        folder = folder.absolute()
        wholes = {CROSS_VALIDATION: folder.parent, SWEEP: folder.parent.parent}
        for file, whole in wholes.items():
            if os.path.lexists(whole / file):
                return cls(whole.parent, f"{whole.name}/{folder.name}", whole.name)
        return cls(folder.parent, folder.name)


def experiment_name(event: RunStarted) -> str:
    """Returns the name that all runs of an experiment share, also the folds of one."""
    return event.spec.name.removesuffix(f"-{event.folder.name}")
