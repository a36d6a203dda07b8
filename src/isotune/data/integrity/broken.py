"""Images that turn out to be broken when they are decoded."""

from __future__ import annotations

from collections.abc import Callable

from isotune.data.decode import reason
from isotune.errors import DatasetError


class BrokenImageError(DatasetError):
    """An image of a source cannot be read.

    Attributes:
        index: Its position in the source.
        identity: What messages call it.
        reason: Why it cannot be read.

    Args:
        index: Its position in the source.
        identity: What messages call it.
        reason: Why it cannot be read.
        sentence: The message, if its source has one of its own.
    """

    def __init__(self, index: int, identity: str, reason: str, sentence: str | None = None) -> None:
        super().__init__(sentence or f"{identity}: cannot be read as an image: {reason}.")
        self.index, self.identity, self.reason = index, identity, reason


Skip = Callable[[BrokenImageError], None]
"""Takes note of a broken image that is skipped. Threads call it."""


def broken(index: int, identity: str, error: Exception) -> DatasetError:
    """Returns the error to raise where loading an image raised `error`.

    Args:
        index: The image's position in its source.
        identity: What messages call it.
        error: What its source raised.
    """
    known = str(error) if isinstance(error, DatasetError) else None
    why = reason(error)
    if known is not None:
        why = why.removeprefix(f"{identity}: ").removeprefix("cannot be read as an image: ")
    result = BrokenImageError(index, identity, why, known)
    return DatasetError(str(result)) if is_short_of_memory(error) else result


def fault(error: Exception) -> str:
    """Returns what is wrong with a dataset, without a full stop, and what to do about it."""
    sentence = str(error).rstrip(".")
    if isinstance(error, BrokenImageError):
        return f"{sentence}; repair it, or set dataset.broken to 'skip'"
    return sentence


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an image could not be read for lack of memory, which says nothing about it."""
    return isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
