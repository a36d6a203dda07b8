"""What process 0 does for all processes of a run: it has the run folder, and calls observers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from isotune.distributed.group import Group
from isotune.plugins import Plugins
from isotune.runs.folder import FollowedFolder, RunFolder

Notify = Callable[[str, object], None]
"""Notifies observers, given the hook's name and the event."""


def led(group: Group, claim: Callable[[], RunFolder]) -> RunFolder:
    """Returns the run folder, which is written in process 0 only.

    Args:
        group: The processes of the run.
        claim: Finds or creates the folder, and claims it.

    Raises:
        IsotuneError: It has failed; the sentence is that of process 0.
    """
    folder = group.together(claim if group.place.leads else lambda: None)
    if folder is None:
        return FollowedFolder(Path(os.fsdecode(group.share(None))))
    try:
        group.share(os.fsencode(folder.path))
    except BaseException:
        folder.release()
        raise
    return folder


def notifier(group: Group, plugins: Plugins, observers: Sequence[object]) -> Notify:
    """Returns what notifies observers, in process 0 only."""
    if group.place.leads:
        return lambda hook, event: plugins.notify(hook, event, observers)
    return lambda hook, event: None
