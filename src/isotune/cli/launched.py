"""A command in one of several processes that a launcher has started: one of them speaks."""

from __future__ import annotations

import logging

from isotune.cli.messages import leave_to_others
from isotune.cli.streams import discard_output
from isotune.errors import SpecError

TOGETHER = ("run", "resume", "evaluate", "bench")
"""Commands that several processes compute together."""


def take_place(command: str) -> None:
    """Silences this process if it is one of several and another one speaks for them.

    Process 0 shows progress and results. Errors are told by the first process of each machine, as
    they may be the machine's own.

    Args:
        command: The command's name.

    Raises:
        SpecError: There are several processes, and the command is for one.
    """
    from isotune.plugins import plugins

    launched = plugins.launched()
    if launched is None:
        return
    _, place = launched
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
