"""Under which name a tracker knows a run: kept in the run folder, so that a resumed run goes on."""

from __future__ import annotations

import json
import re
from pathlib import Path

from isotune.storage.atomic import write_atomically
from isotune.storage.untrusted import read_small

FOLDER = "observers"
MOST_BYTES = 4096
IDENTITY = re.compile(r"[A-Za-z0-9_-]{1,64}")


def known_as(folder: Path, tracker: str) -> str | None:
    """Returns the name under which a tracker has known the run; None if it has not.

    Args:
        folder: The run folder, which may come from a stranger.
        tracker: The observer's name.
    """
    try:
        found = json.loads(read_small(_file(folder, tracker), MOST_BYTES))["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) and IDENTITY.fullmatch(found) else None


def keep(folder: Path, tracker: str, identity: str) -> None:
    """Keeps the name under which a tracker knows the run.

    Raises:
        OSError: It cannot be written.
    """
    path = _file(folder, tracker)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps({"id": identity}) + "\n")


def _file(folder: Path, tracker: str) -> Path:
    return folder / FOLDER / f"{tracker}.json"
