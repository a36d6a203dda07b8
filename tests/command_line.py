"""The command line, called in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from isotune.cli.app import app


def exit_code(*arguments: object) -> object:
    """Calls the command line as ``isotune ARGUMENTS`` does, and returns what it exits with."""
    with pytest.raises(SystemExit) as end:
        app([str(argument) for argument in arguments], prog_name="isotune")
    return end.value.code


@contextmanager
def restored_log() -> Iterator[None]:
    """Restores the level and handlers of Isotune's logger, which the command line sets."""
    log = logging.getLogger("isotune")
    level, handlers = log.level, list(log.handlers)
    try:
        yield
    finally:
        log.setLevel(level)
        log.handlers[:] = handlers
