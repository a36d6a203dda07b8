"""Under which name a tracker knows a run: kept in the run folder, so that a resumed run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from isotune.storage.atomic import write_atomically
from isotune.storage.untrusted import read_small

MOST_BYTES = 4096


class Kept(BaseModel):
    """What a tracker keeps of a run.

    Attributes:
        id: Under which name it knows the run.
        steps: Training steps up to which the run is logged already, by a tracker that cannot look.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    steps: Annotated[int, Field(ge=-1, lt=2**62)] = -1

    @classmethod
    def read(cls, folder: Path, tracker: str) -> Kept | None:
        """Returns what a tracker has kept; None if that is nothing, or nothing that makes sense.

        Args:
            folder: The run folder, which may come from a stranger.
            tracker: The observer's name.
        """
        try:
            return cls.model_validate_json(read_small(_file(folder, tracker), MOST_BYTES))
        except (OSError, ValueError):
            return None

    def write(self, folder: Path, tracker: str) -> None:
        """Keeps it.

        Raises:
            OSError: It cannot be written.
        """
        write_atomically(_file(folder, tracker), self.model_dump_json() + "\n")


def _file(folder: Path, tracker: str) -> Path:
    return folder / f"{tracker}.json"
