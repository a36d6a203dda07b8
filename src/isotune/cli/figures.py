"""Figures of the command line: where they go, and what must be there before they are computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from isotune.experiment.classifier import Classifier

FOLDER = "figures"
"""Subfolder of a run for its figures."""


def check_output(output: Path | None) -> None:
    """Checks that the figure can be written, before it is computed.

    Raises:
        IsotuneError: matplotlib is not installed.
        SpecError: The file's suffix is not that of a figure.
    """
    from isotune.reports.drawing import check_figure_path, check_matplotlib

    check_matplotlib()
    if output is not None:
        check_figure_path(output)


def open_model(path: Path, backend: str | None, device: str, checkpoint: str) -> Classifier:
    """Opens a run folder, or an exported file."""
    from isotune.exporting.open import open_classifier

    return open_classifier(path, backend=backend, device=device, checkpoint=checkpoint)


def default_path(model: Classifier, name: str, split: str | None) -> Path:
    """Returns a path in a run's folder, or beside an exported file."""
    from isotune.experiment.result import Run

    split = (split or model.spec.dataset.splits.val).replace("/", "-")
    if isinstance(model, Run):
        return model.folder.subfolder(FOLDER) / f"{name}-{split}.png"
    return model.path.with_name(f"{model.path.stem}-{name}-{split}.png")


def write(figure: Figure, path: Path) -> None:
    """Writes a figure and shows its path."""
    from isotune.progress.console import output, show
    from isotune.reports.drawing import write_figure

    show(output(), str(write_figure(figure, path)))
