"""A run as its folder has it, read by process 0 for all processes that continue or open it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isotune.data.divided import Recorded
from isotune.data.splitting.recorded import RecordedSplit
from isotune.distributed.group import Group
from isotune.interfaces.checkpoint import State
from isotune.interfaces.metrics import EpochMetrics
from isotune.runs.checkpoint import Checkpoint
from isotune.runs.folder import RunFolder
from isotune.runs.images import recorded_splits
from isotune.runs.schema import Manifest, MetricsLine
from isotune.runs.state_files import packed, unpacked
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec, load_spec


@dataclass(frozen=True)
class SavedRun:
    """What a run folder says.

    Attributes:
        spec: The run's resolved spec.
        checkpoint: The checkpoint that was asked for; None if there is no checkpoint yet.
        backend: Name of the backend that trained last, if one has.
        recorded: The images of each split, where the spec divides them and the run lists them.
        history: Metrics of every epoch, for who opens the run.
    """

    spec: ExperimentSpec
    checkpoint: Checkpoint | None
    backend: str | None
    recorded: Recorded | None
    history: tuple[EpochMetrics, ...] = ()

    @classmethod
    def read(cls, folder: RunFolder, checkpoint: Checkpoint | None) -> SavedRun:
        """Reads the rest of a run whose checkpoint was read.

        Raises:
            IsotuneError: A file of the folder is damaged.
        """
        spec = folder.spec()
        divided = spec.dataset.split is not None and spec.dataset.fold is None
        return cls(
            spec,
            checkpoint,
            (checkpoint.manifest if checkpoint else folder.summary()).backend,
            recorded_splits(folder.path) if checkpoint and divided else None,
        )

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes in label order, where the splits are recorded."""
        recorded = self.checkpoint if self.recorded else None
        return tuple(recorded.manifest.classes) if recorded else None


def shared_run(group: Group, folder: RunFolder, read: Callable[[], SavedRun]) -> SavedRun:
    """Returns what process 0 reads, in every process: machines need no common disk.

    Args:
        group: The processes.
        folder: The run's folder.
        read: Reads the run.

    Raises:
        IsotuneError: It cannot be read; the sentence is that of process 0.
    """
    saved = group.together(read if group.place.leads else lambda: None)
    if group.place.alone:
        assert saved is not None, "it is this process that reads"
        return saved
    head = json.loads(group.share(None if saved is None else _head(saved)))
    loaded = None if saved is None else saved.checkpoint
    if head["manifest"] is not None:
        manifest = Manifest.model_validate(head["manifest"])
        states = (loaded.model, loaded.optimizer, loaded.average) if loaded else (None,) * 3
        model, optimizer, average = (_shared_state(group, each, folder) for each in states)
        averaged = manifest.weights == "average"
        loaded = Checkpoint(model, optimizer, manifest, average if averaged else None)
    recorded = head["recorded"]
    return SavedRun(
        load_spec(head["spec"]),
        loaded,
        head["backend"],
        None if recorded is None else {k: RecordedSplit(*v) for k, v in recorded.items()},
        tuple(MetricsLine.model_validate(each).metrics() for each in head["history"]),
    )


def _head(saved: SavedRun) -> bytes:
    loaded, recorded = saved.checkpoint, saved.recorded
    splits = None
    if recorded is not None:
        splits = {name: [list(each.names), list(each.digests)] for name, each in recorded.items()}
    head: dict[str, Any] = {
        "spec": dump_spec(saved.spec),
        "manifest": loaded and loaded.manifest.model_dump(mode="json"),
        "backend": saved.backend,
        "recorded": splits,
        "history": [metrics.as_json() for metrics in saved.history],
    }
    return json.dumps(head).encode()


def _shared_state(group: Group, state: State | None, folder: RunFolder) -> State:
    """Returns a state of process 0; one that it lacks is empty."""
    data = group.share(packed(state or {}) if group.place.leads else None)
    return unpacked(data, folder.checkpoints)
