"""Continues a run where it was stopped, on the same backend or another one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from isotune.data.images import Images
from isotune.errors import RunError
from isotune.experiment.changes import check_changes
from isotune.experiment.open import rebuild
from isotune.experiment.result import Run
from isotune.experiment.saver import checkpoint_name
from isotune.experiment.session import Fit, Setup, Start
from isotune.interfaces.metrics import EpochMetrics
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.runs.checkpoint import Checkpoint
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec
from isotune.training.accumulator import EpochAccumulator
from isotune.training.progress import Begun, Patience
from isotune.weights.formats.write import write_weights


def resume(
    path: str | Path,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    checkpoint: str = "last",
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
) -> Run:
    """Continues a run from its newest checkpoint, at the exact step.

    On the backend and device that wrote it, the run comes to the same bytes as one that was
    never stopped. A run that has no checkpoint yet begins anew.

    Args:
        path: the run folder.
        backend: None takes the one that trained last.
        device: as for :func:`isotune.run`.
        overrides: ``"epochs=20"``; :mod:`isotune.experiment.changes` says what may change.
        checkpoint: another one, by its folder's name, or ``best``; newer ones are removed.
        observers: objects with methods of :mod:`isotune.hookspecs`, told of this run.
        plugins: where backends, backbones and observers are found.

    Returns:
        The finished run, its model restored to the best epoch's weights.

    Raises:
        RunError: there is no such run, another process is training it, it is finished, or its
            checkpoint is damaged.
        SpecError: an override would make it another experiment.
        IsotuneError: as for :func:`isotune.run`.
    """
    folder = RunFolder.existing(path)
    folder.claim()
    try:
        spec = load_spec(folder.path / "spec.yaml", overrides)
        check_changes(folder.spec(), spec)
        store = CheckpointStore(folder.checkpoints)
        found = store.load(checkpoint) if store.index().names else None
        name = backend or (found.manifest if found else folder.summary()).get("backend")
        fit = _prepared(folder, store, spec, found, name or plugins.only_usable(), device, plugins)
        return fit.run(folder, lambda hook, event: plugins.notify(hook, event, observers))
    finally:
        folder.release()


def _prepared(
    folder: RunFolder,
    store: CheckpointStore,
    spec: ExperimentSpec,
    found: Checkpoint | None,
    backend: str,
    device: str,
    plugins: Plugins,
) -> Fit:
    setup = Setup.open(spec, backend, device, plugins)
    if found is None:
        model, start = setup.new_model(), Start()
    else:
        _check_figure_paths(folder.path, found.manifest, setup.images)
        where = str(folder.path)
        model = rebuild(setup.spec, setup.entry, setup.backend, found.model, where)
        start = _start(folder, store, setup.spec, found)
    fit = Fit.prepare(setup, model, start)
    folder.write_spec(setup.spec)
    folder.write_metrics(start.begun.history)
    return fit


def _start(
    folder: RunFolder, store: CheckpointStore, spec: ExperimentSpec, found: Checkpoint
) -> Start:
    manifest = found.manifest
    history = tuple(map(EpochMetrics.from_json, manifest["history"]))
    accumulator = manifest["epoch_so_far"]
    _check_unfinished(folder, spec, history, accumulator is not None)
    store.forget_after(checkpoint_name(manifest))
    best = manifest["best"] if store.index().best else None
    if best is not None and spec.checkpoint.save_best_as:
        # A kill may have come between the checkpoint and this file.
        write_weights(folder.path / spec.checkpoint.save_best_as, store.load("best").model)
    return Start(
        begun=Begun(
            history,
            best=history[best - 1] if best is not None else None,
            accumulator=EpochAccumulator.from_json(accumulator)
            if accumulator is not None
            else None,
        ),
        steps=manifest["step"],
        optimizer=found.optimizer,
        lineage=tuple(manifest["lineage"]),
    )


def _check_figure_paths(path: Path, manifest: dict[str, Any], images: Images) -> None:
    classes = tuple(manifest["classes"])
    if images.classes != classes:
        raise RunError(
            f"{path}: was trained on the classes {', '.join(classes)}, but the dataset has"
            f" {', '.join(images.classes)}."
        )
    if len(images.train) != manifest["images"]:
        raise RunError(
            f"{path}: was trained on {manifest['images']} images, but the dataset has"
            f" {len(images.train)}, so that its order would be another one."
        )


def _check_unfinished(
    folder: RunFolder, spec: ExperimentSpec, history: tuple[EpochMetrics, ...], within: bool
) -> None:
    # A process may have been killed between its last checkpoint and its end.
    finished = folder.summary().get("state") == "finished"
    done = len(history) + within
    if done > spec.epochs or (done == spec.epochs and finished):
        more = f"--set epochs={2 * done}"
        raise RunError(
            f"{folder.path}: {done} epochs of {spec.epochs} are done; {more} would go on."
        )
    patience = Patience(spec.early_stopping)
    if finished and any(patience.exhausted(metrics) for metrics in history):
        raise RunError(
            f"{folder.path}: early_stopping ended it after epoch {len(history)};"
            " --set early_stopping=null would go on."
        )
