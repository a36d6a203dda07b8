"""Opens weights files, and turns errors while reading into one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from isotune.errors import WeightsError
from isotune.storage.memory import describe_shortage
from isotune.storage.paths import is_dir
from isotune.storage.untrusted import open_regular


class Unreadable(Exception):
    """A weights file is damaged, unsafe or of an unknown kind. The text says what is wrong."""


class FileTensors(dict[str, NDArray[Any]]):
    """The tensors of a file by name.

    Attributes:
        beside: names of other entries of the file, which were left out.
        unsupported: sentences about tensors that could not be read.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        *,
        beside: tuple[str, ...] = (),
        unsupported: tuple[str, ...] = (),
    ) -> None:
        super().__init__(tensors)
        self.beside = beside
        self.unsupported = unsupported


LISTED = 8


def check_prefix(names: Iterable[str], prefix: str | None) -> None:
    """Raises :class:`Unreadable` if no name begins with `prefix`, listing what they begin with."""
    names = list(names)
    if prefix is None or any(name.startswith(prefix) for name in names):
        return
    counts = Counter(name.partition(".")[0] for name in names if "." in name)
    groups = [f"'{printable(first, 60)}' ({n})" for first, n in counts.most_common(LISTED)]
    raise Unreadable(
        f"no tensor is under '{printable(prefix[:-1], 80)}'; the names begin with"
        f" {', '.join(groups) or 'no prefix'}"
    )


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
        with open_regular(path, follow=True) as file:
            yield file
    except FileNotFoundError:
        raise WeightsError(f"there is no weights file '{path.absolute()}'.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise WeightsError(f"weights file '{path}' cannot be read: {reason}.") from error
    except (MemoryError, ImportError) as error:  # one of a library that cannot be mapped
        shortage = describe_shortage(error)
        if shortage is None:
            raise
        raise WeightsError(f"weights file '{path}' cannot be read: {shortage}.") from error
    except Unreadable as error:
        reason = printable(str(error), 300)
        raise WeightsError(f"weights file '{path}' cannot be read: {reason}.") from error
