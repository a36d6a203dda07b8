"""Images that turn out to be broken when they are decoded."""

from __future__ import annotations

from collections.abc import Callable

from isotune.data.decode import reason
from isotune.errors import DatasetError


class BrokenImageError(DatasetError):
    """An image of a source cannot be read.

    Args:
        index: Its position in the source.
        message: The sentence that names it.
    """

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


Skip = Callable[[BrokenImageError], None]
"""Takes note of a broken image that is skipped. Threads call it."""


def broken(index: int, identity: str, error: Exception) -> DatasetError:
    """Returns the error to raise where loading an image raised `error`.

    Args:
        index: The image's position in its source.
        identity: What messages call it.
        error: What its source raised.
    """
    message = str(error)
    if not isinstance(error, DatasetError):
        message = unreadable(identity, reason(error))
    if is_short_of_memory(error):
        return DatasetError(message)
    return BrokenImageError(index, message)


def unreadable(identity: str, why: str) -> str:
    """Returns the sentence about an image that cannot be read."""
    return f"{identity}: cannot be read as an image: {why}."


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an image could not be read for lack of memory, which says nothing about it."""
    return isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
