"""The observers of a spec. What each kind is: :mod:`isotune.observers`, and plugins."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import SerializeAsAny

from isotune.spec.base import KindOf, Shorthand, SpecModel, model_registry


class ObserverSpec(SpecModel):
    """An observer that a spec names. It decides nothing of a run, and may change on resume.

    A kind is a subclass with a field ``name: Literal["..."] = "..."``.

    Attributes:
        name: Which one.
    """

    name: str

    @abstractmethod
    def open(self, folder: Path) -> object:
        """Returns an object with methods of :mod:`isotune.hookspecs`, before the run starts.

        What it or one of its methods raises is a warning, after which it is left alone.

        Args:
            folder: The run folder.
        """


OBSERVERS = model_registry("observer", ObserverSpec, "name")  # type: ignore[type-abstract]
"""All observers."""


class _LongForm(Shorthand):
    """Annotation: ``csv``, ``{mlflow: {experiment: bees}}``, or ``{name: mlflow, ...}``."""

    def expand(self, value: Any) -> Any:
        """Returns the long form of a short form; any other value is returned unchanged."""
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, options),) = value.items()
            if name != self.key and (options is None or isinstance(options, Mapping)):
                return {self.key: name, **(options or {})}
        return super().expand(value)


AnyObserver = Annotated[SerializeAsAny[ObserverSpec], KindOf(OBSERVERS, "name"), _LongForm("name")]
"""An observer, by its name alone or with options."""
