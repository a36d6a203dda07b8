"""Objects in pickles whose state follows them, and placeholders for those of unknown names.

A checkpoint may hold a path, a configuration or a whole module beside the tensors. Python's
unpickler would import and call what made them. Here each becomes an :class:`Inert`, which only
records what it was given: nothing is imported or called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

# fmt: off
RUNS_CODE = frozenset({
    "asyncio.subprocess", "bdb", "code", "commands", "ctypes", "importlib", "nt", "os", "pdb",
    "pip", "popen2", "posix", "profile", "pty", "pydoc", "runpy", "shutil", "socket",
    "subprocess", "sys", "timeit", "trace", "webbrowser",
})
"""Modules that no checkpoint needs, and with which malicious pickles run code."""

RUNS_CODE_BUILTINS = frozenset({
    "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "execfile", "exit",
    "globals", "input", "locals", "open", "quit", "setattr",
})
"""The same among the built-in functions."""
# fmt: on

BUILTINS = frozenset({"builtins", "__builtin__", "__builtins__"})


class Buildable(ABC):
    """An object whose state follows in the pickle."""

    @abstractmethod
    def build(self, state: Any) -> None:
        """Takes the state.

        Raises:
            Unreadable: the state is damaged.
        """


class Inert:
    """An object of an unknown class, or an unknown class or function itself.

    Attributes:
        name: the dotted name of the class or function.
        arguments: what it was called with.
        content: its items, if it is like a dict.
        parts: its items, if it is like a list.
        state: its attributes, as stored.
    """

    __slots__ = ("arguments", "content", "name", "parts", "state")

    def __init__(self, name: str, arguments: Sequence[Any] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.content: dict[Any, Any] = {}
        self.parts: list[Any] = []
        self.state: Any = None

    @property
    def attributes(self) -> dict[Any, Any]:
        """Its attributes by name, as far as they are stored in the common ways."""
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        # A class with __slots__ stores a pair: its dict and its slots.
        dicts = [state for state in states[:2] if isinstance(state, dict)]
        return {name: value for state in dicts for name, value in state.items()}


class UnsupportedTensor(Inert):
    """A tensor that cannot be read. It matters only if it is one of the weights."""


def runs_code(module: str, name: str) -> bool:
    """Whether a name in a pickle belongs to those with which malicious pickles run code."""
    if module in BUILTINS:
        return name.partition(".")[0] in RUNS_CODE_BUILTINS
    return module in RUNS_CODE
