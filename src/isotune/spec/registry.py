"""Registries: by name, the kinds that a part of a spec offers, such as transforms.

Isotune's own kinds are what the modules of one package define. That package stands above this
one, so :mod:`isotune` names it, in a call of :func:`wire`. At the first look-up the package is
imported, and the plugins that are installed as extensions are loaded.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from threading import RLock
from typing import Any, Generic, TypeVar

from isotune.errors import SpecError, nearest

T = TypeVar("T")

_packages: dict[str, str] = {}
_load_extensions: list[Callable[[], None]] = []
_loading = RLock()
"""One for all registries: an extension, while it is loaded, may add kinds to any of them."""


def wire(packages: Mapping[str, str], load_extensions: Callable[[], None]) -> None:
    """Sets where kinds come from; imports nothing.

    Args:
        packages: By a registry's noun, the name of the package that defines Isotune's own kinds.
        load_extensions: Registers the plugins that are installed as extensions.
    """
    _packages.update(packages)
    _load_extensions[:] = [load_extensions]


class Registry(Generic[T]):
    """The kinds of one part of a spec, by name, for the whole process.

    Args:
        noun: What a kind is called in messages, such as ``transform``.
        accepts: Whether an object is a kind.
        name: Returns the name of a kind.
    """

    def __init__(
        self, noun: str, accepts: Callable[[object], bool], name: Callable[[T], str]
    ) -> None:
        self.noun = noun
        self.accepts = accepts
        self._name = name
        self._kinds: list[tuple[str, T]] = []
        self._own: list[T] = []
        self._loaded = False

    def add(self, kind: T) -> None:
        """Adds a kind. One that is added twice stays until it is removed twice.

        Raises:
            SpecError: Another kind has its name.
        """
        self._load()
        name = self._name(kind)
        other = self.find(name)
        if other is not None and other is not kind:
            raise SpecError(
                f"{self.noun} '{name}' is defined twice: by {_origin(other)} and by"
                f" {_origin(kind)}; rename one of them."
            )
        self._kinds.append((name, kind))

    def remove(self, kind: T) -> None:
        """Removes a kind that was added."""
        self._kinds.remove((self._name(kind), kind))

    def find(self, name: object) -> T | None:
        """Returns the kind of that name, or None."""
        self._load()
        return next((kind for known, kind in self._kinds if known == name), None)

    def is_own(self, kind: object) -> bool:
        """Whether a kind is Isotune's own, so that equal options always mean the same."""
        self._load()
        return any(kind is own for own in self._own)

    def names(self) -> list[str]:
        """Returns the names of all kinds, sorted."""
        return sorted(dict(self.items()))

    def items(self) -> list[tuple[str, T]]:
        """Returns all kinds with their names, sorted by name."""
        self._load()
        return sorted(dict(self._kinds).items())

    def unknown(self, name: object) -> str:
        """Returns the sentence that says that there is no kind of that name."""
        names = self.names()
        guess = nearest(str(name), names)
        return f"there is no {self.noun} {name!r}.{guess} Known are: {', '.join(names)}"

    def _load(self) -> None:
        with _loading:
            if self._loaded:
                return
            self._loaded = True  # before extensions, whose kinds are added here meanwhile
            try:
                self._own = list(self._defined())
                for kind in self._own:
                    self.add(kind)
                for load in _load_extensions:
                    load()
            except BaseException:
                self._kinds, self._loaded = [], False
                raise

    def _defined(self) -> Iterator[T]:
        """Yields each kind that a module of Isotune's own package holds."""
        package = import_module(_packages[self.noun])
        seen: set[int] = set()
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for value in vars(import_module(module.name)).values():
                if self.accepts(value) and id(value) not in seen:
                    seen.add(id(value))
                    yield value


def _origin(kind: Any) -> str:
    return f"{kind.__module__}.{getattr(kind, '__qualname__', kind)}"
