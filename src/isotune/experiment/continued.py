"""Opens a saved run, to go on after one of its checkpoints."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from isotune.distributed.joined import Joined, in_turn
from isotune.errors import RunError
from isotune.experiment.agreement import check_same_spec, check_same_start
from isotune.experiment.changes import check_changes, schedule_change
from isotune.experiment.checkpoint_writer import best_checkpoint, matched, write_best
from isotune.experiment.open import check_finite, rebuild
from isotune.experiment.prepared import PreparedExperiment, ResumeState
from isotune.experiment.resume_checks import check_average, check_dataset, check_optimizer
from isotune.experiment.saved_run import SavedRun, shared_run
from isotune.interfaces.metrics import EpochMetrics
from isotune.plugins import Plugins
from isotune.runs.checkpoint import MODEL, Checkpoint
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import FollowedFolder, RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec
from isotune.training.accumulator import EpochAccumulator
from isotune.training.progress import Patience, Progress
from isotune.training.session import Session

log = logging.getLogger(__name__)


def open_saved(
    others: Joined,
    folder: RunFolder,
    device: str,
    changes: Sequence[str],
    checkpoint: str,
    plugins: Plugins,
    adapt: Callable[[ExperimentSpec], ExperimentSpec] = lambda spec: spec,
) -> tuple[Session, SavedRun, Callable[[], PreparedExperiment]]:
    """Opens a run's experiment, and returns what prepares it to go on after a checkpoint.

    That removes newer checkpoints; until then, nothing of the run has changed.

    Args:
        others: The processes.
        folder: The run folder, claimed by this process.
        device: As for :func:`isotune.resume`; so are the other arguments.
        changes: The overrides.
        checkpoint: See `device`.
        plugins: See `device`.
        adapt: Returns the spec to go on with, given that of the run after the overrides.

    Raises:
        IsotuneError: As :func:`isotune.resume`, the same in every process.
    """
    group, store = others.group, CheckpointStore(folder.checkpoints)
    saved = shared_run(group, folder, lambda: _read(folder, store, checkpoint, changes))
    spec = group.together(lambda: adapt(_changed(folder, saved.spec, changes)))
    check_same_spec(others, spec)
    name = others.name or saved.backend or plugins.only_usable()
    session = in_turn(
        group,
        lambda: Session.open(spec, name, device, plugins, saved.recorded, saved.classes, others),
    )
    return session, saved, lambda: _prepare(session, folder, store, saved)


def claimed(path: str | Path) -> RunFolder:
    """Returns the folder of a run, claimed by this process until it is released.

    Raises:
        RunError: There is no such run, or another process is training it.
    """
    folder = RunFolder.existing(path)
    folder.claim()
    return folder


def _read(
    folder: RunFolder, store: CheckpointStore, checkpoint: str, changes: Sequence[str]
) -> SavedRun:
    _changed(folder, folder.spec(), changes)  # if that is wrong, nothing large is read
    return SavedRun.read(folder, store.load(checkpoint) if store.index().names else None)


def _changed(folder: RunFolder, before: ExperimentSpec, changes: Sequence[str]) -> ExperimentSpec:
    """Returns the spec that a run goes on with."""
    followed = isinstance(folder, FollowedFolder)
    spec = load_spec(before, changes) if followed else folder.spec(changes)
    check_changes(before, spec)
    return _checked_before(spec)


def _checked_before(spec: ExperimentSpec) -> ExperimentSpec:
    """Returns the spec of a run, which says when images are checked if that is during training."""
    if spec.dataset.check is not None:
        return spec
    dataset = spec.dataset.model_copy(update={"check": "before_training"})
    return spec.model_copy(update={"dataset": dataset})


def _prepare(
    session: Session, folder: RunFolder, store: CheckpointStore, saved: SavedRun
) -> PreparedExperiment:
    group, loaded = session.group, saved.checkpoint
    if loaded is None:
        model, start = in_turn(group, session.new_model), ResumeState()
        check_same_start(session, model)
    else:
        model, loaded = group.together(partial(_restored, session, folder, loaded))
        check_same_start(session, model)
        best = _best(session, folder, store, loaded, model)
        start = _resume_state(loaded, best)
        if group.place.leads:
            _mention_schedule(saved.spec, session, start)
    prepared = group.together(lambda: PreparedExperiment.prepare(session, model, start))
    folder.write_spec(session.spec)
    folder.write_metrics(start.progress.history)
    return prepared


def _restored(session: Session, folder: RunFolder, loaded: Checkpoint) -> tuple[Any, Checkpoint]:
    """Returns the model of a checkpoint, and the checkpoint with that model's names."""
    if session.group.place.leads:
        check_dataset(folder.path, loaded.manifest, session)
        check_finite(folder, loaded)
    where = folder.checkpoints / loaded.manifest.name / MODEL
    classes = len(loaded.manifest.classes)
    model = rebuild(session.spec, session.entry, session.backend, loaded.model, classes, where)
    loaded = matched(loaded, session.backend.state_adapter.model_shapes(model), folder)
    check_optimizer(folder.checkpoints, loaded, session.spec)
    check_average(folder.checkpoints, loaded, session.spec)
    return model, loaded


def _best(
    session: Session, folder: RunFolder, store: CheckpointStore, loaded: Checkpoint, model: Any
) -> int | None:
    """Returns the best epoch so far, after it has removed all newer checkpoints.

    Both is done by process 0; None if there is no best epoch yet.
    """

    def rewind() -> int | None:
        manifest = loaded.manifest
        history = tuple(line.metrics() for line in manifest.history)
        within = manifest.epoch_so_far is not None
        _check_unfinished(folder, session.spec, history, within)
        store.forget_after(manifest.name)
        best = manifest.best if store.index().best else None
        if best is not None:
            found = best_checkpoint(folder, session, model)
            if found.manifest.epoch != best:
                raise RunError(
                    f"{folder.checkpoints}: is damaged: the best epoch is {found.manifest.epoch} in"
                    f" its index, but {best} in {manifest.name}."
                )
            # A kill may have come between the checkpoint and the file of its weights.
            write_best(folder, session, found.weights)
        return best

    group = session.group
    best = group.together(rewind if group.place.leads else lambda: None)
    shared: int | None = json.loads(group.share(json.dumps(best).encode()))
    return shared


def _resume_state(loaded: Checkpoint, best: int | None) -> ResumeState:
    """Returns where a run goes on after a checkpoint, given the best epoch so far."""
    manifest = loaded.manifest
    history = tuple(line.metrics() for line in manifest.history)
    sums = manifest.epoch_so_far
    progress = Progress(
        history,
        best=history[best - 1] if best is not None else None,
        accumulator=EpochAccumulator.from_json(sums.model_dump()) if sums else None,
    )
    return ResumeState(
        progress,
        steps=manifest.step,
        learning_rate=manifest.metrics.metrics().learning_rate,
        optimizer=loaded.optimizer,
        average=loaded.average,
        lineage=tuple(manifest.lineage),
    )


def _mention_schedule(before: ExperimentSpec, session: Session, start: ResumeState) -> None:
    history, steps = start.progress.history, len(session.training_batches())
    sentence = schedule_change(
        before, session.spec, history, start.steps, steps, start.learning_rate
    )
    if sentence is not None:
        log.warning("%s", sentence)


def _check_unfinished(
    folder: RunFolder, spec: ExperimentSpec, history: tuple[EpochMetrics, ...], within: bool
) -> None:
    # A process may have been killed between its last checkpoint and its end.
    finished = folder.summary().state == "finished"
    done = len(history) + within
    if done > spec.epochs or (done == spec.epochs and finished):
        more = f"--set epochs={2 * done}"
        raise RunError(
            f"{folder.path}: {done} epochs of {spec.epochs} are done; {more} would continue."
        )
    patience = Patience(spec.early_stopping)
    if finished and any(patience.exhausted(metrics) for metrics in history):
        raise RunError(
            f"{folder.path}: early_stopping ended it after epoch {len(history)};"
            " --set early_stopping=null would continue."
        )
