"""Messages on standard error, each line with a prefix."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import suppress

from isotune.printable import message_line

PREFIX = "isotune: "

_others_tell = False


def leave_to_others() -> None:
    """Leaves warnings and errors of this process to another one, which has the same."""
    global _others_tell
    _others_tell = True


def complain(text: str, *, own: bool = False) -> None:
    """Writes lines to standard error, printable and of bounded length.

    Args:
        text: The lines.
        own: Whether they are written even if another process tells the same.
    """
    if _others_tell and not own:
        return
    with suppress(OSError):  # there is nobody left to tell
        for line in text.split("\n"):
            print(f"{PREFIX}{message_line(line)}", file=sys.stderr, flush=True)


class _Complaints(logging.Handler):
    """Shows log records as the command line's own messages."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(message_line(record.getMessage()))


def show_warnings() -> None:
    """Shows warnings, downloads and waiting; with ``ISOTUNE_VERBOSE`` set, all that is logged."""
    # Pillow's warnings do not name the file; Isotune's own messages about damaged images do.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    log = logging.getLogger("isotune")
    log.setLevel(logging.DEBUG if os.environ.get("ISOTUNE_VERBOSE") else logging.WARNING)
    for name in ("isotune.storage.downloads", "isotune.training.features.store"):
        logging.getLogger(name).setLevel(logging.INFO)
    if not any(isinstance(handler, _Complaints) for handler in log.handlers):
        log.addHandler(_Complaints())
