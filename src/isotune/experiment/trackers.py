"""The observers that a spec names: opened for a run, and kept from ending it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from isotune.errors import IsotuneError, SpecError
from isotune.experiment.leading import Notify
from isotune.printable import message_line
from isotune.spec.base import SpecModel
from isotune.spec.document import Document
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecDraft
from isotune.spec.messages import explain
from isotune.spec.observer import OBSERVERS, AnyObserver, ObserverSpec
from isotune.training.session import Session

log = logging.getLogger(__name__)


def also_trackers(session: Session, folder: Path, notify: Notify) -> Notify:
    """Returns what notifies the observers that the spec names, in process 0, and then others.

    Args:
        session: The experiment.
        folder: The run folder.
        notify: Notifies the others.
    """
    if not (session.group.place.leads and session.spec.observers):
        return notify
    trackers = [_Tracker(spec, folder) for spec in session.spec.observers]

    def both(hook: str, event: object) -> None:
        for tracker in trackers:
            tracker.notify(hook, event)
        notify(hook, event)

    return both


def named(observers: Iterable[object]) -> tuple[tuple[object, ...], tuple[ObserverSpec, ...]]:
    """Divides observers into objects, and those that are named as a spec names them.

    Args:
        observers: Objects, names such as ``tensorboard``, and mappings of a name to options.

    Raises:
        SpecError: There is no such observer, or it has no such option.
    """
    given = tuple(observers)
    text = [each for each in given if isinstance(each, (str, Mapping))]
    objects = tuple(each for each in given if not isinstance(each, (str, Mapping)))
    for name in text:
        if isinstance(name, str) and OBSERVERS.find(name) is None:
            raise SpecError(f"observers: {OBSERVERS.unknown(name)}.")
    try:
        return objects, tuple(_Named.model_validate({"observers": text}).observers)
    except ValidationError as error:
        raise SpecError(*explain(error, Document({"observers": text}, "observers"))) from error


def logged(spec: ExperimentSpec, more: Sequence[ObserverSpec]) -> ExperimentSpec:
    """Returns a spec that names further observers; of the same kind, the new one counts."""
    kinds = {each.name: each for each in (*spec.observers, *more)}
    return spec.model_copy(update={"observers": list(kinds.values())}) if more else spec


def also_named(draft: SpecDraft, more: Sequence[ObserverSpec]) -> SpecDraft:
    """Does the same to a spec that is not checked yet."""
    data = draft.document.data
    before = data.get("observers") if isinstance(data, dict) else None
    if not more or not isinstance(before or [], list):  # which the check of the spec complains of
        return draft
    kinds = {each.name: each for each in (*named(before or ())[1], *more)}
    plain = [each.model_dump(mode="json") for each in kinds.values()]
    return draft.with_value("observers", plain, "observers")


class _Named(SpecModel):
    """Observers as a spec names them, without the rest of it."""

    observers: list[AnyObserver]


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
