"""Cross-validates an experiment: a run for each fold, and predictions of all images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from isotune.errors import SpecError
from isotune.experiment.fold_runs import FoldRuns
from isotune.experiment.label_errors import fold_label_errors
from isotune.experiment.trackers import logged, named
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.printable import printable
from isotune.progress.run import FoldProgress
from isotune.progress.shown import shown
from isotune.reports.folds import Statistics, fold_statistics, folds_table
from isotune.reports.label_errors import LabelErrors
from isotune.reports.numbers import count
from isotune.reports.tables import Table
from isotune.runs.cross_validation import MOST_FOLDS, CrossValidationFile, CrossValidationFolder
from isotune.runs.folder import new_folder
from isotune.runs.out_of_fold import OutOfFold
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecSource, dump_spec, load_spec
from isotune.spec.split import DivideBy


@dataclass(frozen=True, repr=False)
class CrossValidation:
    """A finished cross-validation.

    Attributes:
        path: Its folder.
        spec: The spec of the folds, without a fold.
        predictions: Out-of-fold predictions of all images, and the metrics of each fold.
    """

    path: Path
    spec: ExperimentSpec
    predictions: OutOfFold

    @property
    def runs(self) -> tuple[Path, ...]:
        """The run folder of each fold."""
        folder = CrossValidationFolder(self.path)
        return tuple(folder.fold(number) for number in range(1, len(self.predictions.metrics) + 1))

    @cached_property
    def statistics(self) -> dict[str, Statistics]:
        """Mean and standard deviation of each metric over the folds, by its name."""
        return fold_statistics(self.predictions.metrics)

    def table(self) -> Table:
        """Returns a table of each metric: its value in each fold, mean and deviation."""
        return folds_table(self.predictions)

    def __repr__(self) -> str:
        folds = count(len(self.predictions.metrics), "fold")
        first = printable(f"CrossValidation({self.spec.name}: {folds}; folder {self.path})")
        return f"{first}\n{self.table().plain()}"

    def _repr_html_(self) -> str:
        return self.table().html()

    def label_errors(self) -> LabelErrors:
        """Returns the images whose labels are doubted by a model that was not trained on them.

        Raises:
            RunError: The images have changed since.
            DatasetError: They are missing or broken.
        """
        return fold_label_errors(self.path)


def cross_validate(
    spec: SpecSource,
    *,
    folds: int = 5,
    by: DivideBy = "label",
    seed: int = 0,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
    progress: bool = True,
) -> CrossValidation:
    """Trains an experiment once for each fold, on all images except the fold's.

    The images are those of the splits to train and to validate on together, or all images of a
    dataset without splits; :class:`isotune.spec.fold.FoldSpec` says how they are divided. Each
    fold is a run of its own, whose best model then predicts the fold's images.

    Called again with the folder of a cross-validation that was stopped or killed at any moment,
    it goes on to the same bytes: folds that have ended are kept, and the one in progress is
    resumed.

    Args:
        spec: As for :func:`isotune.run`.
        folds: Number of folds, at least 2.
        by: ``label`` gives every fold its share of each class; ``group`` in addition keeps groups
            together.
        seed: Selects the random assignment of images to folds, 0 to 2**63 - 1.
        backend: Name of an installed backend; None takes the only one there is, or the one that
            has trained the folds so far.
        device: As for :func:`isotune.run`.
        overrides: ``"optimizer.lr=0.01"``, as ``--set`` on the command line.
        output: The folder: new, empty or that of the same cross-validation; by default
            ``runs/NAME-BACKEND-TIME``.
        observers: As for :func:`isotune.run`, notified of every run.
        plugins: Where backends, backbones and observers are found.
        progress: As for :func:`isotune.run`.

    Raises:
        SpecError: The spec is wrong, or there are fewer than two folds.
        DatasetError: A class has too few images or groups for so many folds.
        RunError: The folder is that of another cross-validation, or of something else.
        IsotuneError: As for :func:`isotune.run`.
    """
    objects, logs = named(observers)
    loaded = logged(load_spec(spec, overrides), logs)
    if loaded.dataset.fold is not None:
        raise SpecError("dataset.fold: is set, but a cross-validation sets it for each fold.")
    if not 2 <= folds <= MOST_FOLDS:
        raise SpecError(f"a cross-validation has 2 to {MOST_FOLDS:,} folds, not {folds}.")
    if output == "":  # Path("") would be the working directory
        raise SpecError("output: is empty; name a new or empty folder, or leave it out.")
    begun = output is not None and CrossValidationFolder.is_one(Path(output))
    if backend is None and not begun:
        backend = plugins.only_usable()
    where = Path(output) if output is not None else new_folder(loaded.name, str(backend))
    folder = CrossValidationFolder(where)
    if backend is None:
        backend = folder.description().backend
    description = CrossValidationFile(
        backend=backend, folds=folds, by=by, seed=seed, spec=dump_spec(loaded)
    )
    with shown(progress, FoldProgress) as own:
        runs = FoldRuns(folder, description, loaded, device, (*objects, *own), plugins)
        return CrossValidation(where, loaded, runs.run())


def resume_cross_validation(
    path: str | Path,
    *,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
    progress: bool = True,
) -> CrossValidation:
    """Continues a cross-validation, given its folder; see :func:`cross_validate`.

    Args:
        path: The folder.
        backend: Name of a backend for what is left; None takes the one that trained so far.
        device: As for :func:`isotune.run`.
        overrides: Settings of :data:`isotune.experiment.parts.MAY_CHANGE`.
        observers: As for :func:`isotune.run`, notified of every run.
        plugins: Where backends, backbones and observers are found.
        progress: As for :func:`isotune.run`.

    Raises:
        RunError: There is no cross-validation, or another process is training it.
        SpecError: An override would make it another experiment.
        IsotuneError: As for :func:`isotune.run`.
    """
    folder = CrossValidationFolder(Path(path))
    before = folder.description()
    objects, logs = named(observers)
    spec = logged(load_spec(before.spec, overrides), logs)
    changes = {"spec": dump_spec(spec), "backend": backend or before.backend}
    description = before.model_copy(update=changes)
    with shown(progress, FoldProgress) as own:
        runs = FoldRuns(folder, description, spec, device, (*objects, *own), plugins)
        return CrossValidation(folder.path, spec, runs.run())
