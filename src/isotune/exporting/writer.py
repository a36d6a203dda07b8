"""The run whose model is exported, and the same run on the backend that writes the graph."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from isotune.catalogue.resolve import normalization
from isotune.errors import BackendError, RunError
from isotune.experiment.open import moved, open_run
from isotune.experiment.result import Run
from isotune.exporting.onnx.untrusted import LARGEST
from isotune.interfaces.exporter import GraphSignature
from isotune.plugins import Plugins
from isotune.spec.transforms import output_size
from isotune.training.isolation import isolated

ONNX = "onnx"


def reference(
    run: Run | str | Path, device: str, checkpoint: str, form: str, plugins: Plugins
) -> Run:
    """Returns the run that an export is compared with: in fp32, as the graph computes.

    Args:
        run: A run, or a run folder, which is opened on the backend that trained it, or if that is
            not usable, on one that writes the format.
        device: As :func:`isotune.open_run` takes it.
        checkpoint: As :func:`isotune.open_run` takes it.
        form: Name of the format.
        plugins: Where backends and backbones are found.

    Raises:
        BackendError: None of these backends can be used.
        RunError: The folder is not a run's, or is damaged.
    """
    if not isinstance(run, Run):
        run = _opened(run, device, checkpoint, form, plugins)
    return replace(run, plan=replace(run.plan, precision="fp32", compile=False))


def _opened(path: str | Path, device: str, checkpoint: str, form: str, plugins: Plugins) -> Run:
    problems = []
    for backend in (None, *plugins.exporting(form)):
        try:
            return open_run(
                path, backend=backend, device=device, checkpoint=checkpoint, plugins=plugins
            )
        except BackendError as error:
            problems.append(error)
    raise problems[0]


def check_size(run: Run, form: str) -> None:
    """Checks that a model fits a file, before minutes of work.

    Raises:
        RunError: It does not.
    """
    shapes = run.backend.state_adapter.model_shapes(run.model).values()
    size = 4 * sum(math.prod(shape) for shape in shapes)
    if form == ONNX and size > LARGEST:
        raise RunError(
            f"{run.spec.backbone.name} has {size / 1e9:.1f} GB of numbers in fp32, and an ONNX file"
            f" holds {LARGEST / 1e9:.1f} GB: `isotune predict` and `isotune serve` take the run"
            " itself."
        )


def writer(trained: Run, form: str, backend: str | None, plugins: Plugins) -> Run:
    """Returns a run on the backend that writes the graph: the best usable one, or the given one.

    Raises:
        BackendError: No usable backend that has the backbone writes the format.
    """
    names = plugins.exporting(form)
    if backend is not None and backend not in names:
        raise BackendError(
            f"backend '{backend}' writes no {form} files; backends that do:"
            f" {', '.join(names) or 'none'}."
        )
    problems = []
    for name in (backend,) if backend else names:
        if name == trained.backend.name:
            return trained
        try:
            return moved(trained, name, "cpu", plugins)
        except BackendError as error:
            problems.append(str(error))
    raise BackendError(f"no usable backend writes {form} files. {' '.join(problems)}".rstrip())


def write_graph(run: Run, form: str, path: Path) -> None:
    """Writes the graph of a run that :func:`writer` returned.

    Raises:
        BackendError: The framework cannot write the model.
    """
    assert run.backend.exporter is not None, "its offer names the format"
    with isolated(run.backend):
        run.backend.exporter.write(run.model, form, _signature(run), path)


def _signature(run: Run) -> GraphSignature:
    size = output_size(run.spec.transforms.val or ())
    assert size is not None, "a spec whose images differ in size is refused"
    return GraphSignature(size[0], size[1], normalization(run.spec), run.plan.loss)
