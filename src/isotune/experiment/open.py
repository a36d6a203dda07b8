"""Opens a run folder on any backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isotune.catalogue.entries import chosen_backbone
from isotune.errors import RunError
from isotune.experiment.checkpoint_writer import checkpoint_name
from isotune.experiment.result import Run
from isotune.interfaces.backbone import BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State, not_finite
from isotune.interfaces.metrics import EpochMetrics
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.build import build_backbone
from isotune.models.head import head_path, saved_auxiliary_head, saved_head
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.runs.checkpoint import Checkpoint
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.spec.experiment import ExperimentSpec
from isotune.training.plan import plan_with
from isotune.weights.match import match_exact


def open_run(
    path: str | Path,
    *,
    backend: str | None = None,
    device: str = "auto",
    checkpoint: str = "best",
    plugins: Plugins = default_plugins,
) -> Run:
    """Opens a run folder.

    The model computes in the run's precision, or in fp32 on a device that lacks it.

    Args:
        path: The run folder.
        backend: Name of a backend; None takes the one that trained the run.
        device: As for ``isotune.run``.
        checkpoint: ``best``, ``last``, or the name of a checkpoint's folder, such as
            ``step-00001560``.
        plugins: Where backends and backbones are found.

    Raises:
        RunError: the folder is not a run's, has no such checkpoint, or is damaged, or the
            checkpoint has values that are not finite.
    """
    folder = RunFolder.existing(path)
    loaded = CheckpointStore(folder.checkpoints).load(checkpoint)
    check_finite(folder, loaded)
    spec, manifest = folder.spec(), loaded.manifest
    name = backend or manifest["backend"]
    entry = chosen_backbone(spec.backbone, name, plugins)
    opened = plugins.open_backend(name, device)
    model = rebuild(spec, entry, opened, loaded.model, str(folder.path))
    return Run(
        folder=folder,
        spec=spec,
        classes=tuple(manifest["classes"]),
        plan=_plan(spec, entry, manifest, opened),
        backend=opened,
        model=model,
        head=head_path(spec.head, entry),
        history=tuple(folder.history()),
        best=EpochMetrics.from_json(manifest["metrics"]),
    )


def check_finite(folder: RunFolder, loaded: Checkpoint) -> None:
    """Checks a checkpoint that an earlier version may have saved after training had failed.

    Raises:
        RunError: a tensor of its model has values that are not finite; the message names the
            tensor and the most recent other checkpoint without such values.
    """
    if (tensor := not_finite(loaded.model)) is None:
        return
    name, store = checkpoint_name(loaded.manifest), CheckpointStore(folder.checkpoints)
    others = (each for each in reversed(store.index().names) if each != name)
    usable = next((each for each in others if not not_finite(store.load(each).model)), None)
    offer = f" {usable} has none: --checkpoint {usable} uses it." if usable else ""
    raise RunError(
        f"{folder.checkpoints / name}: '{tensor}' has values that are not finite (NaN or infinity),"
        f" as after training with too large an optimizer.lr.{offer}"
    )


def rebuild(
    spec: ExperimentSpec, entry: BackboneEntry, backend: Backend, state: State, where: str
) -> Any:
    """Returns the native model of an experiment with the values of a checkpoint.

    Args:
        spec: The resolved spec.
        entry: The backbone's catalogue entry.
        backend: The backend to build on.
        state: The checkpoint's tensors by canonical name.
        where: Name of the checkpoint in an error.

    Raises:
        BackendError: the backend does not have the backbone.
        WeightsError: names or shapes are not those of the model.
    """
    model = build_backbone(entry, backend)
    place = head_path(spec.head, entry)
    backend.heads.replace(model, place, saved_head(spec.head, place, state))
    for path in entry.auxiliary:
        backend.heads.replace(model, path, saved_auxiliary_head(path, state))
    shapes = backend.state_adapter.model_shapes(model)
    backend.state_adapter.import_model(model, match_exact(shapes, state, where))
    return model


def _plan(
    spec: ExperimentSpec, entry: BackboneEntry, manifest: dict[str, Any], backend: Backend
) -> TrainingPlan:
    weights = manifest["class_weights"]
    plan = plan_with(spec, entry, None if weights is None else np.array(weights, dtype=np.float32))
    has_it = plan.precision in backend.precisions()
    return plan if has_it else replace(plan, precision="fp32")
