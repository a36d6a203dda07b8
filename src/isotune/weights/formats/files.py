"""Opens weights files, and turns errors while reading into one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from isotune.errors import WeightsError
from isotune.storage.paths import is_dir


class Unreadable(Exception):
    """A weights file is damaged, unsafe or of an unknown kind. The text says what is wrong."""


def printable(text: str, length: int) -> str:
    """Returns text from a file as one line of at most `length` characters, safe for a terminal."""
    shown = text if len(text) <= length else f"{text[: length - 3]}..."
    return "".join(character if character.isprintable() else "?" for character in shown)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens `path` for reading.

    Raises:
        WeightsError: the file cannot be opened, or the body raised :class:`Unreadable`.
    """
    if is_dir(path):
        raise WeightsError(f"'{path}' is a folder, not a weights file.")
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise WeightsError(f"there is no weights file '{path.absolute()}'.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise WeightsError(f"weights file '{path}' cannot be read: {reason}.") from error
    except Unreadable as error:
        reason = printable(str(error), 300)
        raise WeightsError(f"weights file '{path}' cannot be read: {reason}.") from error
