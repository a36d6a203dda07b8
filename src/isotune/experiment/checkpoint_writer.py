"""Writes the checkpoints of a run while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from isotune.errors import IsotuneError
from isotune.interfaces.checkpoint import State
from isotune.interfaces.metrics import EpochMetrics
from isotune.runs.checkpoint import AVERAGE, MODEL, Checkpoint, state_files
from isotune.runs.checkpoints import CheckpointStore, Draft
from isotune.runs.folder import RunFolder
from isotune.runs.schema import EpochSoFar, LineageEntry, Manifest, MetricsLine, epoch_name
from isotune.runs.state_files import packed, unpacked
from isotune.spec.load import dump_spec
from isotune.storage.background import Background
from isotune.training.finite import check_state
from isotune.training.learner import Learner
from isotune.training.progress import Progress
from isotune.training.saver import Saver
from isotune.training.session import Session
from isotune.weights.match import match_exact
from isotune.weights.save import save_weights


@dataclass
class _Unfinished:
    """A checkpoint that is being written: copies of its states, and the draft once it is there.

    Attributes:
        epoch: The epoch, from 1.
        model: The model's state.
        optimizer: The optimizer's state.
        averages: Averages of what training has changed; None without averages.
        draft: What is on disk of it.
    """

    epoch: int
    model: State
    optimizer: State
    averages: State | None
    draft: Draft | None = None

    @property
    def average(self) -> State | None:
        """The averages of all tensors; None without averages."""
        return None if self.averages is None else {**self.model, **self.averages}

    @property
    def weights(self) -> State:
        """What evaluations were of: the average, if there is one, or the model."""
        average = self.average
        return self.model if average is None else average

    def check(self) -> None:
        """Looks at all values.

        Raises:
            TrainingError: One is not finite.
        """
        for state in (self.model, self.optimizer, self.averages or {}):
            check_state(state, self.epoch)


class CheckpointWriter(Saver):
    """Writes checkpoints and the best weights of a run, beside its training.

    Training waits while its state is copied, and for the checkpoint before, so that there is never
    more than one that is not finished. Everything else is a thread's work, also to look whether all
    values are finite: if one is not, nothing is written, and the run ends at its next step.

    Args:
        session: The experiment.
        folder: The run's folder.
        learner: The model in training.
        lineage: Who trained, this process last.
    """

    def __init__(
        self,
        session: Session,
        folder: RunFolder,
        learner: Learner,
        lineage: tuple[LineageEntry, ...],
    ) -> None:
        self._session, self._folder, self._learner = session, folder, learner
        self._lineage = lineage
        self._store = CheckpointStore(folder.checkpoints)
        self._background = Background("isotune-save")
        self._unfinished: _Unfinished | None = None

    def begin(self, epoch: int) -> None:
        """Copies the state at the end of an epoch, and writes its tensors from now on.

        Args:
            epoch: As for :meth:`Saver.begin`.

        Raises:
            TrainingError: a value of an earlier checkpoint is not finite; it was not written.
            RunError: an earlier checkpoint could not be written, or the run folder was removed.
            WeightsError: the file of the best weights could not be written.
        """
        if self._session.group.place.leads:
            self._begin(epoch, epoch_name(epoch))

    def save(self, progress: Progress, metrics: EpochMetrics, is_best: bool) -> None:
        """Writes a checkpoint and, for the best epoch so far, the file of the best weights.

        Args:
            progress: As for :meth:`Saver.save`.
            metrics: As for :meth:`Saver.save`.
            is_best: As for :meth:`Saver.save`.

        Raises:
            TrainingError: a value of an earlier checkpoint is not finite; it was not written.
            RunError: an earlier checkpoint could not be written, or the run folder was removed.
            WeightsError: the file of the best weights could not be written.
        """
        if not self._session.group.place.leads:
            return
        manifest = self._manifest(progress, metrics)
        if self._unfinished is None:
            self._begin(metrics.epoch, manifest.name)
        unfinished, self._unfinished = self._unfinished, None
        assert unfinished is not None, "it was begun"
        self._background.start(partial(self._finish, unfinished, manifest, is_best))

    def check(self) -> None:
        """Raises the error of what could not be written, as :meth:`save` and without waiting."""
        self._background.check()

    def wait(self) -> None:
        """Waits until all is written and flushed to disk; raises errors as :meth:`save`."""
        self._background.wait()

    def close(self) -> None:
        """Waits until all is written, and removes what was begun and will not be saved.

        What could not be written is not mentioned: after a loop that has ended there is no such
        thing, and otherwise an earlier error is what counts.
        """
        self._background.join()
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is not None and unfinished.draft is not None:
            unfinished.draft.discard()

    def _begin(self, epoch: int, name: str) -> None:
        self._folder.check_there()
        self._background.wait()
        learner, averages = self._learner, self._session.plan.averages
        unfinished = self._unfinished = _Unfinished(
            epoch=epoch,
            model=learner.model_state(),
            optimizer=learner.optimizer_state(),
            averages=learner.averages() if averages else None,
        )
        self._background.start(partial(self._write, unfinished, name))

    def _write(self, unfinished: _Unfinished, name: str) -> None:
        unfinished.check()
        states = state_files(unfinished.model, unfinished.optimizer, unfinished.average)
        with self._while_there():
            unfinished.draft = self._store.begin(name, states)

    def _finish(self, unfinished: _Unfinished, manifest: Manifest, is_best: bool) -> None:
        assert unfinished.draft is not None, "it was written without an error"
        keep = self._session.spec.checkpoint.keep
        with self._while_there():
            self._store.finish(unfinished.draft, manifest, keep=keep, best=is_best)
            if is_best:
                write_best(self._folder, self._session, unfinished.weights)

    @contextmanager
    def _while_there(self) -> Iterator[None]:
        """Says so if something cannot be written since the run folder was removed."""
        try:
            yield
        except IsotuneError:
            self._folder.check_there()
            raise

    def restore_best(self, model: Any) -> None:
        """Gives the model the best epoch's weights, in every process.

        Raises:
            RunError: the checkpoint is damaged.
            WeightsError: its tensors are not those of the model.
        """
        group, adapter = self._session.group, self._session.backend.state_adapter
        best: State | None = None
        if group.place.leads:
            best = best_checkpoint(self._folder, self._session, model).weights
        if not group.place.alone:
            data = group.share(None if best is None else packed(best))
            best = unpacked(data, self._folder.checkpoints)
        assert best is not None, "process 0 has read it"
        adapter.import_model(model, best)

    def _manifest(self, progress: Progress, metrics: EpochMetrics) -> Manifest:
        session, accumulator = self._session, progress.accumulator
        weights, seed = session.plan.class_weights, session.spec.seed
        return Manifest(
            spec=dump_spec(session.spec),
            backend=session.backend.name,
            lineage=list(self._lineage),
            classes=list(session.classes),
            class_weights=None if weights is None else weights.tolist(),
            images=len(session.images.train),
            epoch=metrics.epoch,
            step=metrics.steps,
            step_in_epoch=None if accumulator is None else accumulator.steps,
            random={"seed": seed, "epoch": metrics.epoch - 1, "step": metrics.steps},
            metrics=MetricsLine.of(metrics),
            epoch_so_far=None if accumulator is None else EpochSoFar(**accumulator.as_json()),
            history=[MetricsLine.of(each) for each in progress.history],
            best=None if progress.best is None else progress.best.epoch,
            weights="average" if session.plan.averages else "model",
        )


def best_checkpoint(folder: RunFolder, session: Session, model: Any) -> Checkpoint:
    """Returns a run's best checkpoint, without the optimizer's state.

    Args:
        folder: The run's folder.
        session: The experiment.
        model: The native model, whose names and shapes the checkpoint's tensors have.

    Raises:
        RunError: the checkpoint is damaged, or there is none.
        WeightsError: its tensors are not those of the model.
    """
    best = CheckpointStore(folder.checkpoints).load("best", optimizer=False)
    return matched(best, session.backend.state_adapter.model_shapes(model), folder)


def matched(
    checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]], folder: RunFolder
) -> Checkpoint:
    """Returns a checkpoint whose model and averages have the names and shapes of a model.

    Raises:
        WeightsError: They have others.
    """
    where = folder.checkpoints / checkpoint.manifest.name
    average = checkpoint.average
    return replace(
        checkpoint,
        model=match_exact(shapes, checkpoint.model, str(where / MODEL)),
        average=None if average is None else match_exact(shapes, average, str(where / AVERAGE)),
    )


def write_best(folder: RunFolder, session: Session, weights: State) -> None:
    """Writes the file of the best weights, if the spec names one.

    Args:
        folder: The run's folder.
        session: The experiment.
        weights: The best model's tensors, or their averages.

    Raises:
        WeightsError: the file cannot be written.
    """
    name = session.spec.checkpoint.save_best_as
    if name:
        save_weights(folder.path / name, weights, session.entry.name)
