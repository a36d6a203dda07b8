"""Every error a user can cause, each one sentence long.

A message says what is wrong, where, and what would be right. The command line prints it
without a traceback and ends with :attr:`IsotuneError.exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from isotune.printable import message_line


class IsotuneError(Exception):
    """Base of all errors that Isotune raises on purpose.

    What a message quotes may come from anywhere: it is made printable, and very long values lose
    their middle.

    Args:
        lines: The message, one argument a line; usually it has one.
    """

    exit_code = 1

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)

    def __str__(self) -> str:
        """Returns the message."""
        return "\n".join(map(message_line, self.args))


class SpecError(IsotuneError):
    """The experiment spec, or a call, asks for something that cannot be."""

    exit_code = 2


class BackendError(IsotuneError):
    """A backend or a device is unknown, not installed or broken."""

    exit_code = 2


class DatasetError(IsotuneError):
    """A dataset is missing, empty or holds images that cannot be read."""

    exit_code = 2


class WeightsError(IsotuneError):
    """A weights file is missing, damaged, unsafe or does not fit the model."""

    exit_code = 2


class RunError(IsotuneError):
    """A run folder is missing, damaged or already in use."""

    exit_code = 2


class TrainingError(IsotuneError):
    """A run had to stop: its loss or its weights became NaN, say."""


class LostProcessError(IsotuneError):
    """Another process of the run has ended, or is not reached."""


LOST = "another process of the run has ended, or is not reached any more."
"""Message of :class:`LostProcessError` where nothing more is known."""


class StoppedError(IsotuneError):
    """A run was asked to stop, by Ctrl-C or a signal, and is saved: it can be resumed."""

    exit_code = 130


def kind_of(error: IsotuneError) -> str:
    """Returns the name of an error's class, or of the first one above it that is of this module."""
    return next(each.__name__ for each in type(error).__mro__ if each.__module__ == __name__)


def of_kind(name: str, lines: Iterable[str]) -> IsotuneError:
    """Returns an error as :func:`kind_of` has named it in another process.

    Args:
        name: Name of the class; any other name stands for IsotuneError.
        lines: The message.
    """
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, IsotuneError):
        return kind(*lines)
    return IsotuneError(*lines)


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns `` Did you mean 'NAME'?`` for the closest of `names`, or an empty string."""
    by_lower = {known.lower(): known for known in names}
    matches = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[matches[0]]}'?" if matches else ""


def listed(names: Sequence[str], most: int = 10) -> str:
    """Returns names in quotes for a message: the first ones, and the number of the others."""
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def first_lines(lines: Sequence[str], most: int = 20) -> list[str]:
    """Returns the first lines of a message, and a line that counts the others."""
    more = [f"  and {len(lines) - most} more"] if len(lines) > most else []
    return [*lines[:most], *more]
