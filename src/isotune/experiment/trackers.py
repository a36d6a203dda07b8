"""The observers that a spec names: opened for a run, and kept from ending it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from isotune.errors import IsotuneError
from isotune.experiment.leading import Notify
from isotune.printable import message_line
from isotune.spec.observer import ObserverSpec
from isotune.training.session import Session

log = logging.getLogger(__name__)


def also_trackers(session: Session, folder: Path, notify: Notify) -> Notify:
    """Returns what notifies the observers that the spec names, in process 0, and then others.

    Args:
        session: The experiment.
        folder: The run folder.
        notify: Notifies the others.
    """
    if not session.group.place.leads:
        return notify
    trackers = [_Tracker(spec, folder) for spec in session.spec.observers]

    def both(hook: str, event: object) -> None:
        for tracker in trackers:
            tracker.notify(hook, event)
        notify(hook, event)

    return both


def named(observers: Iterable[object]) -> tuple[tuple[object, ...], tuple[str, ...]]:
    """Divides observers into objects, and an override that names the others, which are text."""
    names = [each for each in observers if isinstance(each, str)]
    objects = tuple(each for each in observers if not isinstance(each, str))
    return objects, (f"observers=[{', '.join(names)}]",) if names else ()


class _Tracker:
    """An observer that falls silent, with one warning, when it fails."""

    def __init__(self, spec: ObserverSpec, folder: Path) -> None:
        self._name = spec.name
        self._observer: object = None
        self._guarded(lambda: setattr(self, "_observer", spec.open(folder)))

    def notify(self, hook: str, event: object) -> None:
        """Calls the method of a hook, if there is one."""
        method = getattr(self._observer, hook, None)
        if method is not None:
            self._guarded(lambda: method(event=event))

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # other people's packages, disks and servers
            kind = "" if isinstance(error, IsotuneError) else f"{type(error).__name__}: "
            why = message_line(f"{kind}{error}".rstrip(". "))
            log.warning("observer %s is left out, and the run goes on: %s.", self._name, why)
            self._observer = None
