"""Opens a run folder on any backend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isotune.catalogue.entries import chosen_backbone
from isotune.distributed.group import Group
from isotune.distributed.joined import Joined
from isotune.errors import BackendError, RunError
from isotune.experiment.given import NOTHING, Given
from isotune.experiment.leading import led
from isotune.experiment.result import Run
from isotune.experiment.saved_run import SavedRun, shared_run
from isotune.interfaces.backbone import GIVEN_MODEL, BackboneEntry
from isotune.interfaces.backend import Backend
from isotune.interfaces.checkpoint import State, not_finite
from isotune.interfaces.trainer import TrainingPlan
from isotune.models.build import build_backbone
from isotune.models.head import head_path, outputs_of, saved_head
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.reports.history import History
from isotune.runs.checkpoint import Checkpoint
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.runs.schema import Manifest
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.head import HeadSpec, LinearHeadSpec
from isotune.training.isolation import isolated
from isotune.training.plan import plan_with
from isotune.weights.match import match_exact


def open_run(
    path: str | Path,
    *,
    backend: str | None = None,
    device: str = "auto",
    checkpoint: str = "best",
    plugins: Plugins = default_plugins,
    train: Iterable[Any] | None = None,
    val: Iterable[Any] | None = None,
    classes: Sequence[str] | None = None,
    model: Any = None,
    classifier: str | None = None,
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
        train: As for ``isotune.run``, again, to evaluate a run whose images were given in code; so
            are `val` and `classes`.
        val: See `train`.
        classes: See `train`.
        model: As for ``isotune.run``, again; its weights become those of the run.
        classifier: See `model`.

    Raises:
        RunError: the folder is not a run's, has no such checkpoint, or is damaged, or the
            checkpoint has values that are not finite.
    """
    given = Given(train, val, classes, model, classifier)
    with given.offered(plugins):
        return open_together(Joined(Group(), backend), path, device, checkpoint, plugins, given)


def open_together(
    others: Joined,
    path: str | Path,
    device: str,
    checkpoint: str,
    plugins: Plugins = default_plugins,
    given: Given = NOTHING,
) -> Run:
    """Opens a run folder in several processes, of which the first one reads it.

    Args:
        others: The processes.
        path: As for :func:`open_run`.
        device: As for :func:`open_run`.
        checkpoint: As for :func:`open_run`.
        plugins: As for :func:`open_run`.
        given: What the caller gives it again.

    Raises:
        IsotuneError: As :func:`open_run`, the same in every process.
    """
    group = others.group
    folder = led(group, lambda: RunFolder.existing(path))
    saved = shared_run(group, folder, lambda: _read(folder, checkpoint, group.place.alone))
    return group.together(lambda: _opened(others, folder, saved, device, plugins, given))


def _read(folder: RunFolder, checkpoint: str, alone: bool) -> SavedRun:
    loaded = CheckpointStore(folder.checkpoints).load(checkpoint, optimizer=False)
    check_finite(folder, loaded)
    history = tuple(folder.history())
    if alone:
        return SavedRun(folder.spec(), loaded, loaded.manifest.backend, None, history)
    return replace(SavedRun.read(folder, loaded), history=history)


def _opened(
    others: Joined,
    folder: RunFolder,
    saved: SavedRun,
    device: str,
    plugins: Plugins,
    given: Given,
) -> Run:
    loaded, spec = saved.checkpoint, given.attach(saved.spec)
    assert loaded is not None, "it was read"
    manifest = loaded.manifest
    name = others.name or manifest.backend
    entry = chosen_backbone(spec.backbone, name, plugins)
    opened = others.backend or plugins.open_backend(name, device)
    with isolated(opened):
        where = folder.checkpoints / manifest.name / loaded.weights_file
        model = rebuild(spec, entry, opened, loaded.weights, len(manifest.classes), where)
    return Run(
        folder=folder,
        spec=spec,
        classes=tuple(manifest.classes),
        entry=entry,
        plan=_plan(spec, entry, manifest, opened),
        backend=opened,
        model=model,
        head=head_path(spec.head, entry),
        history=History(saved.history),
        best=manifest.metrics.metrics(),
        group=others.group,
        listed=saved.recorded,
    )


def check_finite(folder: RunFolder, loaded: Checkpoint) -> None:
    """Checks a checkpoint that an earlier version may have saved after training had failed.

    Raises:
        RunError: a tensor of its model, or an average, has values that are not finite; the message
            names the tensor and the most recent other checkpoint without such values.
    """
    if (tensor := _not_finite(loaded)) is None:
        return
    name, store = loaded.manifest.name, CheckpointStore(folder.checkpoints)
    others = store.intact(besides=name)
    usable = next((each for each in others if not _not_finite(store.load(each))), None)
    offer = f" {usable} has none: --checkpoint {usable} uses it." if usable else ""
    raise RunError(
        f"{folder.checkpoints / name}: '{tensor}' has values that are not finite (NaN or infinity),"
        f" as after training with too large an optimizer.lr.{offer}"
    )


def _not_finite(loaded: Checkpoint) -> str | None:
    return not_finite(loaded.model) or not_finite(loaded.weights)


def moved(run: Run, backend: str, device: str, plugins: Plugins = default_plugins) -> Run:
    """Returns a run with a copy of its model on another backend or device.

    Raises:
        BackendError: The backend or the device cannot be used, or does not have the backbone.
    """
    if run.entry.name == GIVEN_MODEL:
        raise BackendError(
            f"the run's model was given in code for {run.backend.name}; give one for {backend},"
            f" as in isotune.open_run(folder, model=..., classifier=..., backend='{backend}')."
        )
    entry = chosen_backbone(run.spec.backbone, backend, plugins)
    opened = plugins.open_backend(backend, device)
    state = run.backend.state_adapter.export_model(run.model)
    with isolated(opened):
        model = rebuild(run.spec, entry, opened, state, len(run.classes), run.path)
    plan = _on(run.plan, opened)
    return replace(
        run, backend=opened, model=model, plan=plan, head=head_path(run.spec.head, entry)
    )


def rebuild(
    spec: ExperimentSpec,
    entry: BackboneEntry,
    backend: Backend,
    state: State,
    classes: int,
    where: Path,
) -> Any:
    """Returns the native model of an experiment with the values of a state.

    Args:
        spec: The resolved spec.
        entry: The backbone's catalogue entry.
        backend: The backend to build on.
        state: The model's tensors by canonical name.
        classes: Number of classes.
        where: Where the state comes from, for messages.

    Raises:
        BackendError: the backend does not have the backbone.
        RunError: the state's head is not that of the spec, the backbone and the classes.
        WeightsError: names or shapes are not those of the model.
    """
    model = build_backbone(entry, backend)
    fault = "is not of the given model" if entry.name == GIVEN_MODEL else "is damaged"
    outputs = outputs_of(spec.head, classes)
    place = head_path(spec.head, entry)
    auxiliary: dict[str, HeadSpec] = dict.fromkeys(entry.auxiliary, LinearHeadSpec())
    for path, head in {place: spec.head, **auxiliary}.items():
        width = backend.heads.in_features(model, path)
        try:
            values = saved_head(head, path, state)
        except RunError as error:
            raise RunError(f"{where}: {fault}: {error}") from error
        found = (values.in_features, len(values.output.bias), values.convolutional)
        if found != (width, outputs, path == place and entry.convolutional):
            raise RunError(
                f"{where}: {fault}: the head at '{path}' has {found[0]} inputs and {found[1]}"
                f" outputs, but {width} and {outputs} are needed."
            )
        backend.heads.replace(model, path, values)
    shapes = backend.state_adapter.model_shapes(model)
    backend.state_adapter.import_model(model, match_exact(shapes, state, str(where)))
    return model


def _plan(
    spec: ExperimentSpec, entry: BackboneEntry, manifest: Manifest, backend: Backend
) -> TrainingPlan:
    weights = manifest.class_weights
    plan = plan_with(spec, entry, None if weights is None else np.array(weights, dtype=np.float32))
    return _on(plan, backend)


def _on(plan: TrainingPlan, backend: Backend) -> TrainingPlan:
    """Returns the plan in its precision if the device has it, else in fp32."""
    return plan if plan.precision in backend.precisions() else replace(plan, precision="fp32")
