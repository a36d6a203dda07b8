"""A command in one of several processes that a launcher has started: one of them speaks."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from isotune.cli.messages import leave_to_others
from isotune.cli.streams import discard_output, write_to
from isotune.errors import IsotuneError, SpecError

if TYPE_CHECKING:
    from isotune.distributed.parent import Parent

_one_of_several = False

TOGETHER = ("run", "resume", "evaluate", "certify")
"""Commands that several processes compute together."""

WHATEVER_PLACE = ("recipes", "schema")
"""Commands that print what the package knows, and start sooner for asking nobody."""


def above() -> Parent | None:
    """Returns the process that has started this one as one of several, if one has."""
    distributed = sys.modules.get("isotune.distributed.parent")
    found: Parent | None = distributed.parent() if distributed else None
    return found


def told(code: int, error: IsotuneError | None = None) -> bool:
    """Tells the process that has started this one as one of several how it ends.

    Args:
        code: Its exit code.
        error: What has ended it early.

    Returns:
        Whether there is such a process, which shows the error.
    """
    parent = above()
    if parent is not None:
        parent.tell(code, error)
    return parent is not None


def take_place(command: str, arguments: Sequence[str]) -> None:
    """Silences this process if it is one of several and another one speaks for them.

    Process 0 shows progress and results. The first process of each machine shows errors, which may
    be the machine's own.

    Args:
        command: The command's name.
        arguments: What follows it; a command that only shows its options is one for any place.

    Raises:
        SpecError: There are several processes, and the command is for one.
    """
    if command in WHATEVER_PLACE or "--help" in arguments:
        return
    from isotune.distributed.parent import reach_parent
    from isotune.plugins import plugins

    launched = plugins.launched()
    if launched is None:
        return
    global _one_of_several
    _one_of_several = True
    _, place = launched
    parent = reach_parent(place)
    if parent is not None and parent.streams:
        write_to(*parent.streams)
    if not place.leads:
        discard_output()
        logging.getLogger("isotune").setLevel(logging.ERROR)
    if place.local_rank:
        leave_to_others()
    if command not in TOGETHER:
        *others, last = (f"`isotune {name}`" for name in TOGETHER)
        raise SpecError(
            f"isotune {command} runs in one process, and a launcher has started"
            f" {place.processes}: it starts {', '.join(others)} and {last}."
        )


def leave_others(code: int) -> None:
    """Ends this process at once if it is one of several, which have not left each other in order.

    Threads of a framework that wait for the others could keep it from ending, or crash it.
    """
    if not _one_of_several:
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)
