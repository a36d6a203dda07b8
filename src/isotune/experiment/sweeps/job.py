"""A sweep as each process that works on it knows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from isotune.runs.sweep import SweepFile, SweepFolder
from isotune.spec.load import SpecDraft, read_spec
from isotune.spec.space.check import open_space
from isotune.spec.space.parameters import Space

Keep = Literal["best", "all"]
"""Of which trials that have ended checkpoints are kept."""


@dataclass(frozen=True)
class Job:
    """A sweep.

    Attributes:
        folder: Its folder.
        description: What is recorded of it.
        draft: The spec that varies.
        space: How it varies.
        url: Address of a database with its trials; None for the file in its folder.
        device: As for :func:`isotune.run`.
        trials: Number of trials that should end.
        keep: Of which trials checkpoints are kept.
        epochs: Largest number of epochs of a trial.
    """

    folder: SweepFolder
    description: SweepFile
    draft: SpecDraft
    space: Space
    url: str | None
    device: str
    trials: int
    keep: Keep
    epochs: int

    def as_json(self) -> dict[str, Any]:
        """Returns what another process on this machine needs besides ``sweep.json``."""
        return {
            "folder": str(self.folder.path.resolve()),
            "beside": str(self.draft.folder) if self.draft.folder else None,
            "url": self.url,
            "device": self.device,
            "trials": self.trials,
            "keep": self.keep,
        }

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Job:
        """Opens the sweep that :meth:`as_json` is of."""
        folder = SweepFolder(Path(plain["folder"]))
        description = folder.description()
        beside = Path(plain["beside"]) if plain["beside"] else None
        draft = replace(read_spec(description.spec), folder=beside)
        space, checked = open_space(description.space, draft)
        return cls(
            folder=folder,
            description=description,
            draft=draft,
            space=space,
            url=plain["url"],
            device=plain["device"],
            trials=plain["trials"],
            keep=plain["keep"],
            epochs=max(spec.epochs for spec in checked),
        )
