"""Continues a run where it was stopped, on the same backend or another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from isotune.distributed.joined import Joined, joined
from isotune.experiment.continued import claimed, open_saved
from isotune.experiment.functions import Functions, as_observers
from isotune.experiment.given import NOTHING, Given, check_alone
from isotune.experiment.leading import Notify, led, notifier
from isotune.experiment.open import open_run
from isotune.experiment.processes import Processes, start_resume, starting, told_to, trained_by
from isotune.experiment.result import Run
from isotune.experiment.trackers import logged, named
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.progress.shown import shown
from isotune.spec.observer import ObserverSpec
from isotune.training.isolation import isolated


def resume(
    path: str | Path,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    checkpoint: str = "last",
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
    """Continues a run from its last checkpoint, at the exact step.

    On the backend and device that wrote it, the run ends with the same bytes as one that was
    never stopped. A run that has no checkpoint yet begins anew.

    Args:
        path: The run folder.
        backend: Name of a backend; None takes the one that trained last.
        device: As for :func:`isotune.run`.
        overrides: ``"epochs=20"``; :mod:`isotune.experiment.changes` lists what may change.
        checkpoint: ``last``, ``best`` or the name of a checkpoint's folder; newer checkpoints
            are removed.
        observers: As for :func:`isotune.run`.
        plugins: Where backends, backbones and observers are found.
        processes: As for :func:`isotune.run`; another number than before is as good.
        progress: As for :func:`isotune.run`.
        train: As for :func:`isotune.run`, again, and the same images; so are `val` and `classes`.
        val: See `train`.
        classes: See `train`.
        model: As for :func:`isotune.run`, again; its weights become those of the checkpoint.
        classifier: See `model`.
        functions: As for :func:`isotune.run`.

    Returns:
        The finished run, its model restored to the best epoch's weights.

    Raises:
        RunError: there is no such run, another process is training it, it is finished, or its
            checkpoint is damaged or has values that are not finite.
        SpecError: an override would make it another experiment.
        IsotuneError: as for :func:`isotune.run`.
    """
    given = Given(train, val, classes, model, classifier)
    objects, logs = named(observers)
    observers = (*objects, *as_observers(functions))
    folder, changes = Path(path), tuple(overrides)
    start = starting(
        processes, lambda: backend or trained_by(folder, plugins), device, plugins, observers
    )
    if start is not None:
        check_alone(given)
        where = told_to(progress)
        start_resume(start, folder, device, changes, checkpoint, logs, output=where)
        return open_run(folder, backend=start.backend, device=device)
    with (
        given.offered(plugins),
        shown(progress) as own,
        joined(backend, device, plugins) as others,
    ):
        notify = notifier(others.group, plugins, (*observers, *own))
        return resume_together(
            others, path, device, changes, checkpoint, notify, plugins, given, logs
        )


def resume_together(
    others: Joined,
    path: str | Path,
    device: str,
    changes: Sequence[str],
    checkpoint: str,
    notify: Notify,
    plugins: Plugins,
    given: Given = NOTHING,
    logs: Sequence[ObserverSpec] = (),
) -> Run:
    """Continues a run with the other processes, if there are several.

    Args:
        others: The processes.
        path: As for :func:`resume`.
        device: As for :func:`resume`.
        changes: The overrides.
        checkpoint: As for :func:`resume`.
        notify: Notifies observers.
        plugins: As for :func:`resume`.
        given: What the caller gives it again.
        logs: Observers beside the spec's.

    Raises:
        IsotuneError: As :func:`resume`, the same in every process.
    """
    folder = led(others.group, lambda: claimed(path))
    try:
        session, _, prepare = open_saved(
            others,
            folder,
            device,
            changes,
            checkpoint,
            plugins,
            lambda spec: logged(given.attach(spec), logs),
        )
        with isolated(session.backend):
            return prepare().run(folder, notify)
    finally:
        folder.release()
