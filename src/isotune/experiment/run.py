"""Runs an experiment: a spec and a backend in, a finished run out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from isotune.distributed.joined import Joined, in_turn, joined
from isotune.errors import SpecError
from isotune.experiment.agreement import check_same_spec, check_same_start
from isotune.experiment.functions import Functions, as_observers
from isotune.experiment.given import Given, check_alone
from isotune.experiment.leading import Notify, led, notifier
from isotune.experiment.open import open_run, open_together
from isotune.experiment.prepared import PreparedExperiment, ResumeState
from isotune.experiment.processes import (
    Processes,
    new_run_folder,
    start_run,
    starting,
    told_to,
)
from isotune.experiment.restart import run_before_restart
from isotune.experiment.result import Run
from isotune.experiment.resume import resume_together
from isotune.experiment.trackers import logged, named
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.progress.shown import shown
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecSource, load_spec
from isotune.training.isolation import isolated
from isotune.training.session import Session


def run(
    spec: SpecSource,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
    processes: Processes = 1,
    progress: bool = True,
    train: Iterable[Any] | None = None,
    val: Iterable[Any] | None = None,
    classes: Sequence[str] | None = None,
    model: Any = None,
    classifier: str | None = None,
    **functions: Unpack[Functions],
) -> Run:
    """Runs an experiment.

    Args:
        spec: Path of a YAML file, name of a recipe, a mapping, or a spec. It leaves out `dataset`
            where there is `train`, and `backbone` where there is `model`.
        backend: Name of an installed backend; None takes the only one there is.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``ascend:0`` ...
        overrides: ``"optimizer.lr=0.01"``, as ``--set`` on the command line.
        output: The run folder, new or empty; by default ``runs/NAME-BACKEND-TIME``.
        observers: Objects with methods of :mod:`isotune.hookspecs`, notified of this run; and,
            beside the spec's, names of others as it names them, such as ``tensorboard``.
        plugins: Where backends, backbones and observers are found.
        processes: Number of processes of this machine that compute the run together, started for
            it; ``auto`` takes as many as there are devices. What they are called with has to exist
            in a new process: neither `observers` nor `plugins`.
        progress: Whether to show how far it is: a bar and a line for each epoch on a terminal or in
            a notebook, plain lines on standard error elsewhere.
        train: Images to train on, in place of the spec's: a sequence of pairs of an image, as
            :meth:`Run.predict` takes it, and its label, the name of a class or its number. A
            dataset of torchvision without transforms is one.
        val: Images to validate on, in place of the spec's.
        classes: Names of the classes, in label order; None takes those of `train`.
        model: The caller's own model, which is trained in place, from its own weights.
        classifier: Path of its last layer, such as ``fc``, which a new head replaces.
        functions: Functions to call with an event of the run: ``on_run_started``,
            ``on_step_ended``, ``on_epoch_ended``, ``on_run_finished``, ``on_run_ended``.

    Returns:
        The finished run, its model restored to the best epoch's weights.

    Raises:
        IsotuneError: one of its kinds, with a sentence that says what to change.
    """
    if output == "":  # Path("") would be the working directory
        raise SpecError("output: is empty; name a new or empty folder, or leave it out.")
    given = Given(train, val, classes, model, classifier)
    objects, logs = named(observers)
    observers = (*objects, *as_observers(functions))
    start = starting(
        processes, lambda: backend or plugins.only_usable(), device, plugins, observers
    )
    if start is not None:
        check_alone(given)
        loaded = logged(load_spec(spec, overrides), logs)
        with new_run_folder(start, loaded, Path(output) if output else None) as path:
            start_run(start, loaded, device, path, output=told_to(progress))
            return open_run(path, backend=start.backend, device=device)
    with (
        given.offered(plugins),
        shown(progress) as own,
        joined(backend, device, plugins) as others,
    ):
        where = Path(output) if output else None
        notify = notifier(others.group, plugins, (*observers, *own))
        loaded = others.group.together(lambda: logged(given.load(spec, overrides), logs))
        check_same_spec(others, loaded)
        if others.group.place.most_restarts:
            before = run_before_restart(others, loaded, where, plugins)
            if before == "finished":
                return open_together(others, str(where), device, "best", plugins, given)
            if before == "unfinished":
                return resume_together(
                    others, str(where), device, (), "last", notify, plugins, given, logs
                )
        return _run(others, loaded, device, where, notify, plugins)


def _run(
    others: Joined,
    loaded: ExperimentSpec,
    device: str,
    where: Path | None,
    notify: Notify,
    plugins: Plugins,
) -> Run:
    """Runs an experiment with the other processes, if there are several."""
    group, name = others.group, others.name or plugins.only_usable()
    session = in_turn(group, lambda: Session.open(loaded, name, device, plugins, joined=others))
    with isolated(session.backend):
        model = in_turn(group, session.new_model)
        check_same_start(session, model)
        prepared = group.together(lambda: PreparedExperiment.prepare(session, model, ResumeState()))
        folder = led(group, lambda: RunFolder.create(session.spec, name, where))
        try:
            return prepared.run(folder, notify)
        finally:
            folder.release()
