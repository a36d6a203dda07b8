"""Joins the processes that a launcher has started into a group, and leaves it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from isotune.distributed.group import Group
from isotune.errors import LostProcessError
from isotune.interfaces.backend import Backend
from isotune.interfaces.communicator import Alone
from isotune.plugins import Plugins

T = TypeVar("T")


@dataclass(frozen=True)
class Joined:
    """A process that has joined the others, or is alone.

    Attributes:
        group: The processes.
        name: Name of the backend; None if none was named, and the process is alone.
        backend: The open backend, which reaches the others; None if the process is alone.
    """

    group: Group
    name: str | None
    backend: Backend | None = None


@contextmanager
def joined(backend: str | None, device: str, plugins: Plugins) -> Iterator[Joined]:
    """Joins the other processes for a block, if a launcher has started several.

    An error that ends the block in one process ends it in all, with the same sentence. After the
    block, the backend computes alone.

    Args:
        backend: Name of the backend; None takes the launcher's.
        device: As for ``isotune.run``.
        plugins: Where backends are found.

    Raises:
        BackendError: The launcher is another backend's, or the device is not there.
        LostProcessError: The others do not come.
    """
    launched = plugins.launched(backend)
    if launched is None:
        yield Joined(Group(), backend)
        return
    opened = plugins.open_backend(launched[0], device, join=True)
    group = Group(opened.communicator)
    try:
        yield Joined(group, opened.name, opened)
        group.exchange()  # one that fails at its end ends all
    except LostProcessError:
        raise
    except Exception as error:
        group.report(error)
        if group.together_still:
            with suppress(LostProcessError):
                opened.communicator.close()
        raise
    else:
        opened.communicator.close()
    finally:
        opened.communicator = Alone()


def in_turn(group: Group, work: Callable[[], T]) -> T:
    """Returns what `work` returns, after it has succeeded in one process of each machine.

    What that process downloads, reads and caches, the others of its machine find.

    Args:
        group: The processes.
        work: What each of them does.

    Raises:
        IsotuneError: It has failed in some process; the sentence is the first one's.
    """
    first = group.place.local_rank == 0
    result = group.together(work if first else lambda: None)
    return group.together(lambda: result if first else work())  # type: ignore[return-value]
