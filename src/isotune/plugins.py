"""Finds plugins, keeps a broken one from breaking another, and opens backends.

A backend is an entry point of group ``isotune`` with the backend's name, imported only when it is
used. Other plugins (backbones, transforms, dataset formats, observers) are entry points of
``isotune.extensions``.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from isotune import hookspecs
from isotune.errors import BackendError, LostProcessError, nearest
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend, BackendOffer, Launch
from isotune.interfaces.communicator import Place
from isotune.interfaces.dataset import DatasetFormat
from isotune.interfaces.device import choose_device
from isotune.spec.dataset import DATASET_FORMATS
from isotune.spec.observer import OBSERVERS, ObserverSpec
from isotune.spec.registry import Registry
from isotune.spec.schedule import SCHEDULES, ScheduleSpec
from isotune.spec.transforms import TRANSFORMS, TransformSpec
from isotune.storage.memory import collection_paused, describe_shortage, warn_of_limit

BACKENDS = "isotune"
EXTENSIONS = "isotune.extensions"

KINDS: dict[str, tuple[Registry[Any], type]] = {
    "isotune_transforms": (TRANSFORMS, TransformSpec),
    "isotune_dataset_formats": (DATASET_FORMATS, DatasetFormat),
    "isotune_schedules": (SCHEDULES, ScheduleSpec),
    "isotune_observers": (OBSERVERS, ObserverSpec),
}
"""Hooks that offer kinds of a part of a spec: where they are registered, and their base class."""

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class BackendReport:
    """The state of a backend. `problem` says why it cannot be used; it is None if it can."""

    name: str
    install: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    problem: str | None = None


class Plugins:
    """A pluggy manager that imports entry points as late as possible.

    Backends, backbones and observers belong to one instance. Transforms, dataset formats and
    schedules, which decide what a spec may say, are known to the whole process.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("isotune")
        self._manager.add_hookspecs(hookspecs)
        self._extensions_loaded = False
        self._kinds: dict[int, list[tuple[Registry[Any], Any]]] = {}  # by the plugin's id

    def register(self, plugin: object, name: str | None = None) -> None:
        """Adds a plugin object (a module or an instance with marked methods).

        Raises:
            BackendError: It is already registered, implements a hook that does not exist, or
                offers a transform, dataset format or schedule that is not one.
        """
        if self._manager.is_registered(plugin) or self._manager.has_plugin(name or ""):
            raise BackendError(f"plugin {name or plugin!r} is registered already.")
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            self._add_kinds(plugin)
        except Exception as error:  # a hook may raise anything
            self.unregister(plugin)  # or it would fail every later check
            reason = " ".join(str(error).split()).rstrip(".")
            raise BackendError(f"{name or plugin!r} is not a valid plugin: {reason}.") from error

    def unregister(self, plugin: object) -> None:
        """Removes a plugin object and what it offers, if it is registered."""
        for registry, kind in self._kinds.pop(id(plugin), []):
            registry.remove(kind)
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)

    def _add_kinds(self, plugin: object) -> None:
        added = self._kinds[id(plugin)] = []
        for hook, (registry, base) in KINDS.items():
            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                for kind in implementation.function():
                    if not (registry.accepts(kind) and issubclass(kind, base)):
                        raise TypeError(
                            f"{hook} offers {kind!r}, which is not a concrete subclass of"
                            f" {base.__module__}.{base.__qualname__}"
                        )
                    registry.add(kind)
                    added.append((registry, kind))

    def backend_names(self) -> list[str]:
        """Returns the names of all backends that plugins offer; imports no entry point."""
        names = {point.name for point in entry_points(group=BACKENDS)}
        return sorted(names | self._offers().keys())

    def reports(self) -> list[BackendReport]:
        """Returns the state of every backend; imports their frameworks."""
        return [self.report(name) for name in self.backend_names()]

    def launched(self, name: str | None = None) -> tuple[str, Place] | None:
        """Returns the backend whose launcher has started this process as one of several.

        Imports no framework.

        Args:
            name: The backend that is to compute; None takes the launcher's.

        Returns:
            The backend's name, and which of the processes this one is; None without a launcher.

        Raises:
            BackendError: The launcher is another backend's, or what it has set makes no sense.
        """
        places = {}
        for each in self.backend_names():
            try:
                offer = self._offer(each)
            except BackendError:  # a broken plugin
                continue
            place = offer.place()
            if not place.alone:
                places[each] = place
        if not places:
            return None
        chosen = name or next(iter(places))
        if chosen not in places:
            raise BackendError(
                f"this is one of several processes that the launcher of backend"
                f" '{next(iter(places))}' has started, and '{chosen}' has its own."
            )
        return chosen, places[chosen]

    def launch(self, backend: str, processes: int, arguments: Sequence[str], logs: Path) -> Launch:
        """Returns how a backend starts processes on this machine: :meth:`BackendOffer.launch`.

        Raises:
            BackendError: The backend is unknown, or trains in one process only.
        """
        return self._offer(backend).launch(processes, arguments, logs)

    def open_backend(
        self, name: str | None, device: str = "auto", *, join: bool = False
    ) -> Backend:
        """Opens a backend on a device.

        Args:
            name: The backend's name; None takes the only usable one.
            device: ``auto`` (the best available), or a kind with or without an index.
            join: Whether to reach the other processes that a launcher has started with this one,
                in which case all of them have to call this.

        Raises:
            BackendError: The backend is unknown or unusable, or the device is not available; the
                message lists what is.
            LostProcessError: The other processes do not come.
        """
        offer = self._offer(name or self.only_usable())
        try:
            with collection_paused():
                warn_of_limit()
                offer.versions()
                place = offer.place()
                chosen = choose_device(device, offer.devices(), offer.name, place)
                return offer.join(chosen, place) if join else offer.open(chosen)
        except (BackendError, LostProcessError):
            raise
        except Exception as error:  # a broken framework may raise anything on import
            raise BackendError(_unusable(offer, error)) from error

    def exporting(self, form: str) -> list[str]:
        """Returns the names of the backends that write a file format, the best one first.

        Imports no framework; a backend that is named may be unusable.
        """
        ranks = {}
        for name in self.backend_names():
            try:
                exports = self._offer(name).exports
            except BackendError:  # a broken plugin
                continue
            if form in exports:
                ranks[name] = exports.index(form)
        return sorted(ranks, key=lambda name: (ranks[name], name))

    def backbones(self, backend: str | None = None) -> list[BackboneEntry]:
        """Returns the backbones that extensions and the plugin of `backend` offer.

        Raises:
            BackendError: There is no such backend.
        """
        self.load_extensions()
        if backend:
            self._offer(backend)
        return self._collect("isotune_backbones", BackboneEntry)

    def library_backbone(self, backend: str, name: str) -> BackboneEntry:
        """Returns the backbone that `backend` builds from a library, such as ``timm:resnet18``.

        Raises:
            BackendError: The backend supports no such library, or the library is not installed or
                has no such model.
        """
        library, _, model = name.partition(":")
        offer = self._offer(backend)
        if describe := offer.libraries.get(library):
            return describe(model)
        others = [n for n in self.backend_names() if library in self._libraries(n)]
        known = (
            f"models of {library} run on: {', '.join(others)}"
            if others
            else f"no backend knows a library '{library}'"
        )
        raise BackendError(f"backend '{backend}' does not have backbone '{name}'; {known}.")

    def _libraries(self, backend: str) -> Collection[str]:
        try:
            return self._offer(backend).libraries
        except BackendError:  # a broken plugin
            return ()

    def notify(self, hook: str, event: object, observers: Sequence[object] = ()) -> None:
        """Notifies all observers of an event.

        A plugin that fails is logged. An observer of this run that fails is raised, after the
        others have been notified.

        Args:
            hook: Name of the hook, such as ``isotune_epoch_ended``.
            event: The hook's argument.
            observers: Objects to notify besides the registered plugins.
        """
        self.load_extensions()
        for _ in self._call(hook, event=event):
            pass
        failed: BaseException | None = None
        for observer in observers:
            try:
                if method := getattr(observer, hook, None):
                    method(event=event)
            except BaseException as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _call(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        # Not hook(**arguments): there, the first plugin that raises would silence all others.
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                accepted = {name: arguments[name] for name in implementation.argnames}
                yield implementation.plugin_name, implementation.function(**accepted)
            except Exception as error:
                log.warning("plugin %s failed in %s: %s", implementation.plugin_name, hook, error)

    def _collect(self, hook: str, kind: type[T]) -> list[T]:
        collected: list[T] = []
        for plugin, items in self._call(hook):
            if isinstance(items, list) and all(isinstance(item, kind) for item in items):
                collected += items
            else:
                log.warning("plugin %s: %s is not a list of %s", plugin, hook, kind.__name__)
        return collected

    def _offers(self) -> dict[str, BackendOffer]:
        # An abstract class says more than a signature: mypy cannot take it for a type[T].
        offers: list[BackendOffer] = self._collect("isotune_backends", BackendOffer)  # type: ignore[type-abstract]
        return {offer.name: offer for offer in offers}

    def _offer(self, name: str) -> BackendOffer:
        if offer := self._offers().get(name):
            return offer
        points = {point.name: point for point in entry_points(group=BACKENDS)}
        if name in points:
            self._load(points[name])
            if offer := self._offers().get(name):
                return offer
            raise BackendError(f"plugin '{name}' does not offer a backend '{name}'.")
        names = self.backend_names()
        raise BackendError(
            f"there is no backend '{name}'.{nearest(name, names)}"
            f" Found are: {', '.join(names) or 'none'}."
        )

    def only_usable(self) -> str:
        """Returns the name of the only usable backend; imports frameworks.

        Raises:
            BackendError: There is none, or more than one.
        """
        reports = self.reports()
        usable = [report.name for report in reports if report.problem is None]
        if len(usable) == 1:
            return usable[0]
        if usable:
            raise BackendError(f"choose a backend: {' or '.join(usable)} (--backend NAME).")
        if problems := " ".join(report.problem for report in reports if report.problem):
            raise BackendError(f"no backend can be used. {problems}")
        raise BackendError(
            "no backend can be used; install one with"
            ' `pip install "isotune[torch]"` or `pip install "isotune[mindspore]"`'
            " (`isotune backends` says what is missing)."
        )

    def report(self, name: str) -> BackendReport:
        """Looks at one backend; this imports its framework."""
        try:
            offer = self._offer(name)
        except BackendError as error:
            return BackendReport(name, problem=str(error))
        try:
            warn_of_limit()
            versions, devices = dict(offer.versions()), offer.devices()
        except Exception as error:  # a broken framework may raise anything on import
            return BackendReport(name, offer.install, problem=_unusable(offer, error))
        return BackendReport(name, offer.install, versions, devices)

    def _load(self, point: EntryPoint) -> None:
        try:
            plugin = point.load()
        except Exception as error:  # whatever a plugin's import raises
            reason = describe_shortage(error) or _one_line(error)
            package = point.dist.name if point.dist else point.value
            raise BackendError(
                f"plugin '{point.name}' cannot be imported: {reason}. It comes with package"
                f" '{package}': repair that, or uninstall it."
            ) from error
        if not self._manager.is_registered(plugin):
            self.register(plugin, f"{point.group}:{point.name}")

    def load_extensions(self) -> None:
        """Registers the installed extensions, once; one that fails is a warning."""
        if self._extensions_loaded:
            return
        self._extensions_loaded = True
        for point in entry_points(group=EXTENSIONS):
            try:
                self._load(point)
            except BackendError as error:
                log.warning("%s", error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _unusable(offer: BackendOffer, error: Exception) -> str:
    shortage = describe_shortage(error)
    text = shortage or _one_line(error)
    if shortage is not None:
        remedy = "."
    elif isinstance(error, ModuleNotFoundError):
        remedy = f". Install it with `{offer.install}`."
    elif isinstance(error, (ImportError, OSError, SystemError)):
        remedy = f". It is installed, but does not load: reinstall it with `{offer.install}`."
    else:
        remedy = "."
    return f"backend '{offer.name}' cannot be used: {text}{remedy}"


plugins = Plugins()
"""The plugins of this process."""

register = plugins.register
unregister = plugins.unregister
