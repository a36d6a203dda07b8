"""Plugins: found late, kept apart, and every hook called."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pytest

import isotune
from isotune import hookimpl, hookspecs
from isotune.errors import BackendError, SpecError
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend, BackendOffer
from isotune.interfaces.communicator import Place
from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted, StepEnded
from isotune.interfaces.sweep import TrialEnded
from isotune.plugins import Plugins
from isotune.spec.observer import ObserverSpec
from numpy_backend.plugin import NumpyOffer
from tiny import experiment, make_images, numpy_plugins


class Offer(BackendOffer):
    """A backend that does whatever the test wants when its framework is imported."""

    def __init__(self, name: str, framework: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.install = f'pip install "isotune[{name}]"'
        self.framework = framework

    def versions(self) -> Mapping[str, str]:
        self.framework()
        return {self.name: "1.0"}

    def devices(self) -> list[str]:
        return ["npu:0", "cpu"]

    def open(self, device: str) -> Backend:
        raise RuntimeError(f"{device} is busy")


class Offers:
    """A plugin that offers backends."""

    def __init__(self, *offers: BackendOffer) -> None:
        self.offers = list(offers)

    @hookimpl
    def isotune_backends(self) -> list[BackendOffer]:
        return self.offers


class Observer:
    """A plugin that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @hookimpl
    def isotune_run_started(self, event: RunStarted) -> None:
        self.events.append(event)

    @hookimpl
    def isotune_step_ended(self, event: StepEnded) -> None:
        self.events.append(event)

    @hookimpl
    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        self.events.append(event)

    @hookimpl
    def isotune_run_finished(self, event: RunFinished) -> None:
        self.events.append(event)

    @hookimpl
    def isotune_run_ended(self, event: RunEnded) -> None:
        self.events.append(event)

    @hookimpl
    def isotune_trial_ended(self, event: TrialEnded) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class FailingObserver:
    """A plugin that cannot cope with anything."""

    @hookimpl
    def isotune_run_started(self, event: RunStarted) -> None:
        raise RuntimeError("no space for the log")

    @hookimpl
    def isotune_step_ended(self) -> None:
        raise KeyError("step")

    @hookimpl
    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        raise RuntimeError("no space for the log")


def missing() -> None:
    raise ModuleNotFoundError("No module named 'jax'")


def crashing() -> None:
    raise SystemError("undefined symbol: PyArray_API")


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """Plugins of an environment that has no entry points."""
    monkeypatch.setattr("isotune.plugins.entry_points", lambda group: ())
    return Plugins()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Observer, isotune.Run]:
    """What a registered plugin was told of a run of two epochs, and the run."""
    root, plugins, observer = tmp_path_factory.mktemp("run"), numpy_plugins(), Observer()
    plugins.register(FailingObserver())
    plugins.register(observer)
    spec = experiment(make_images(root / "images"))
    run = isotune.run(spec, backend="numpy", output=root / "run", plugins=plugins)
    return observer, run


def test_every_hook_has_a_test() -> None:
    hooks = [name for name in vars(hookspecs) if name.startswith("isotune_")]
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_plugin*.py"))
    untested = [name for name in hooks if f"def test_hook_{name}(" not in tests]
    assert len(hooks) > 5
    assert not untested
    assert all(inspect.getdoc(getattr(hookspecs, name)) for name in hooks)


def test_hook_isotune_backends(only: Plugins) -> None:
    only.register(Offers(Offer("jax"), Offer("paddle")))
    assert only.backend_names() == ["jax", "paddle"]
    assert [report.versions for report in only.reports()] == [{"jax": "1.0"}, {"paddle": "1.0"}]


def test_hook_isotune_backbones(only: Plugins) -> None:
    class Zoo:
        @hookimpl
        def isotune_backbones(self) -> list[BackboneEntry]:
            return [BackboneEntry("lion", "fc")]

    only.register(Zoo())
    assert [entry.name for entry in only.backbones()] == ["lion"]


def test_hook_isotune_run_started(observed: tuple[Observer, isotune.Run]) -> None:
    observer, run = observed
    [started] = observer.of(RunStarted)
    assert observer.events[0] is started
    assert (started.folder, started.backend, started.device) == (run.path, "numpy", "cpu")
    assert started.classes == ("ants", "bees", "cats")
    assert started.counts == {"train": (3, 3, 3), "val": (2, 2, 2)}
    assert started.steps_per_epoch == 3
    assert started.model.parameters == started.model.trainable == 3 * 8 * 8 * 3 + 3


def test_hook_isotune_step_ended(observed: tuple[Observer, isotune.Run]) -> None:
    steps = observed[0].of(StepEnded)
    assert [(event.epoch, event.step) for event in steps] == [
        (epoch, step) for epoch in (1, 2) for step in (1, 2, 3)
    ]


def test_hook_isotune_epoch_ended(observed: tuple[Observer, isotune.Run]) -> None:
    observer, run = observed
    ended = observer.of(EpochEnded)
    assert tuple(event.metrics for event in ended) == run.history
    assert [event.metrics for event in ended if event.best][-1] == run.best


def test_hook_isotune_run_finished(observed: tuple[Observer, isotune.Run]) -> None:
    observer, run = observed
    [finished] = observer.of(RunFinished)
    assert finished.folder == run.path
    assert finished.summary == json.loads((run.path / "summary.json").read_text())
    assert finished.summary["state"] == "finished"


def test_hook_isotune_run_ended(observed: tuple[Observer, isotune.Run]) -> None:
    observer, run = observed
    [ended] = observer.of(RunEnded)
    assert observer.events[-1] is ended
    assert (ended.folder, ended.status, ended.error) == (run.path, "finished", None)
    assert ended.summary == json.loads((run.path / "summary.json").read_text())


def test_hook_isotune_trial_ended(tmp_path: Path) -> None:
    observer, plugins = Observer(), numpy_plugins()
    plugins.register(observer)
    spec = experiment(make_images(tmp_path / "images"), epochs=1)
    found = isotune.sweep(
        spec, space={"batch_size": [4]}, trials=1, backend="numpy", device="cpu",
        output=tmp_path / "sweep", plugins=plugins,
    )  # fmt: skip
    [ended] = observer.of(TrialEnded)
    assert observer.events[-1] is ended
    assert (ended.trial, ended.best, ended.ended, ended.trials) == (found.trials[0], True, 1, 1)


def test_an_unknown_backend(only: Plugins) -> None:
    with pytest.raises(BackendError, match=r"there is no backend 'jax'\. Found are: none\."):
        only.open_backend("jax")
    only.register(Offers(Offer("jax"), Offer("paddle")))
    with pytest.raises(
        BackendError, match=r"no backend 'jaxx'\. Did you mean 'jax'\? Found are: jax, paddle\."
    ):
        only.open_backend("jaxx")


def unmapped() -> None:
    raise ImportError("libjax.so: failed to map segment from shared object")


def forbidden() -> None:
    raise ImportError("libjax.so: failed to map segment from shared object: not permitted")


def wrapped() -> None:
    try:
        unmapped()
    except ImportError as error:
        raise ImportError("C extensions failed: reinstall") from error


def exhausted() -> None:
    raise MemoryError


INSTALL = 'install it with `pip install "isotune[jax]"`.'


@pytest.mark.parametrize(
    ("framework", "says"),
    [
        (missing, f"No module named 'jax'. I{INSTALL[1:]}"),
        (crashing, f"PyArray_API. It is installed, but does not load: re{INSTALL}"),
        (forbidden, f"not permitted. It is installed, but does not load: re{INSTALL}"),
        (unmapped, "there is not enough memory (libjax.so: failed to map segment from shared "),
        (wrapped, "there is not enough memory (libjax.so: failed to map segment from shared "),
        (exhausted, "there is not enough memory"),
    ],
)
def test_a_backend_without_its_framework(
    only: Plugins, framework: Callable[[], None], says: str
) -> None:
    only.register(Offers(Offer("jax", framework), Offer("paddle")))
    with pytest.raises(BackendError, match=r"backend 'jax' cannot be used: ") as caught:
        only.open_backend("jax")
    assert says in str(caught.value)
    assert ("install" in str(caught.value)) == ("install" in says)
    assert caught.value.__cause__ is not None
    reports = {report.name: report for report in only.reports()}
    assert reports["jax"].problem == str(caught.value)
    assert reports["paddle"].problem is None


def test_models_of_a_library(only: Plugins) -> None:
    class Library:
        @hookimpl
        def isotune_backends(self) -> list[BackendOffer]:
            class Offer(NumpyOffer):
                name = "other"
                libraries = MappingProxyType(
                    {"zoo": lambda model: BackboneEntry(f"zoo:{model}", "fc")}
                )

            return [Offer(), NumpyOffer()]

    only.register(Library())
    assert only.library_backbone("other", "zoo:net").name == "zoo:net"
    for name, says in {
        "zoo:net": r"does not have backbone 'zoo:net'; models of zoo run on: other\.",
        "park:net": r"'park:net'; no backend knows a library 'park'\.",
    }.items():
        with pytest.raises(BackendError, match=says):
            only.library_backbone("numpy", name)


def test_devices_are_chosen_before_a_backend_opens(only: Plugins) -> None:
    only.register(Offers(Offer("jax")))
    with pytest.raises(BackendError, match=r"'cuda' is not there .* Present are: npu:0, cpu"):
        only.open_backend("jax", "cuda")
    with pytest.raises(BackendError, match=r"backend 'jax' cannot be used: npu:0 is busy"):
        only.open_backend("jax")


def test_what_a_launcher_has_set_wrong_is_said_and_makes_no_process_alone(only: Plugins) -> None:
    class Confused(Offer):
        def place(self) -> Place:
            raise BackendError("RANK: is 'x'.")

    only.register(Offers(Offer("jax"), Confused("paddle")))
    with pytest.raises(BackendError, match="RANK: is 'x'"):
        only.launched("jax")


def test_the_only_usable_backend_is_taken(only: Plugins) -> None:
    with pytest.raises(BackendError, match=r"no backend can be used; install one"):
        only.only_usable()
    only.register(Offers(Offer("paddle", missing)))
    with pytest.raises(BackendError, match=r"no backend can be used\. backend 'paddle' cannot"):
        only.only_usable()
    only.register(Offers(Offer("jax")))
    assert only.only_usable() == "jax"
    only.register(Offers(Offer("tinygrad")))
    with pytest.raises(BackendError, match=r"choose a backend: jax or tinygrad"):
        only.only_usable()


def test_register_and_unregister(only: Plugins) -> None:
    plugin = Offers(Offer("jax"))
    only.register(plugin, "jax")
    with pytest.raises(BackendError, match="is registered already"):
        only.register(plugin)
    only.unregister(plugin)
    assert only.backend_names() == []
    only.register(plugin)
    assert only.backend_names() == ["jax"]


class Misspelt:
    @hookimpl
    def isotune_epoch_endet(self, event: object) -> None: ...


class WrongArgument:
    @hookimpl
    def isotune_epoch_ended(self, metrics: object) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "word"), [(Misspelt, "isotune_epoch_endet"), (WrongArgument, "metrics")]
)
def test_a_wrong_hook_is_refused(only: Plugins, plugin: type, word: str) -> None:
    with pytest.raises(BackendError, match=f"is not a valid plugin: .*{word}"):
        only.register(plugin())
    only.register(Offers(Offer("jax")))  # and does no harm afterwards
    only.notify("isotune_epoch_ended", None)
    assert only.backend_names() == ["jax"]


def test_a_plugin_that_offers_nonsense_breaks_no_other(
    only: Plugins, caplog: pytest.LogCaptureFixture
) -> None:
    class Nonsense:
        @hookimpl
        def isotune_backends(self) -> Any:
            return None

        @hookimpl
        def isotune_backbones(self) -> Any:
            return ["resnet18"]

    only.register(Nonsense(), "nonsense")
    only.register(Offers(Offer("jax")))
    assert only.backend_names() == ["jax"]
    assert only.backbones() == []
    assert "nonsense" in caplog.text


def test_a_failing_observer_is_reported(caplog: pytest.LogCaptureFixture, only: Plugins) -> None:
    only.register(FailingObserver(), "logbook")
    with caplog.at_level(logging.WARNING):
        only.notify("isotune_run_started", None)
    assert "plugin logbook failed in isotune_run_started: no space for the log" in caplog.text


def test_errors_of_own_observers_are_raised(only: Plugins) -> None:
    observer = Observer()
    only.notify("isotune_epoch_ended", "event", [object(), observer])
    assert observer.events == ["event"]
    with pytest.raises(RuntimeError, match="no space"):
        only.notify("isotune_epoch_ended", "event", [FailingObserver()])


def test_the_public_register_is_the_default_plugins() -> None:
    plugin = Offers(Offer("jax"))
    isotune.plugins.register(plugin)
    assert "jax" in isotune.plugins.plugins.backend_names()
    isotune.plugins.unregister(plugin)
    assert "jax" not in isotune.plugins.plugins.backend_names()


def test_a_backend_says_which_backbones_it_has(tmp_path: Path) -> None:
    spec = experiment(make_images(tmp_path / "p"), backbone={"name": "resnet18", "weights": "none"})
    with pytest.raises(
        BackendError, match="'numpy' does not have backbone 'resnet18'; it has: linear"
    ):
        isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=numpy_plugins())
    with pytest.raises(SpecError, match="there is no backbone 'linear'"):
        isotune.run(experiment(tmp_path / "p"), backend="torch", plugins=Plugins())


def test_a_backend_without_a_launcher_says_that_it_trains_in_one_process_only(
    tmp_path: Path,
) -> None:
    sentence = "^backend 'numpy' trains in one process only.$"
    with pytest.raises(BackendError, match=sentence):
        numpy_plugins().launch("numpy", 2, ["-m", "isotune"], tmp_path)
    with pytest.raises(BackendError, match=sentence):
        numpy_plugins().open_backend("numpy", join=True)


class Notes(ObserverSpec):
    """An observer of a plugin that writes a line for each epoch."""

    name: Literal["notes"] = "notes"
    file: str = "notes.txt"

    def open(self, folder: Path) -> object:
        path = folder / self.file

        class Writer:
            def isotune_epoch_ended(self, event: EpochEnded) -> None:
                with path.open("a") as file:
                    file.write(f"{event.metrics.epoch}\n")

        return Writer()


class OffersNotes:
    @hookimpl
    def isotune_observers(self) -> list[type[ObserverSpec]]:
        return [Notes]


def test_hook_isotune_observers(tmp_path: Path) -> None:
    plugins, offers = numpy_plugins(), OffersNotes()
    plugins.register(offers)
    try:
        spec = experiment(make_images(tmp_path / "images"), observers=[{"notes": {"file": "n"}}])
        run = isotune.run(spec, backend="numpy", output=tmp_path / "run", plugins=plugins)
    finally:
        plugins.unregister(offers)
    assert (run.path / "n").read_text() == "1\n2\n"
