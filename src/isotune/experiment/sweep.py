"""Searches a space of specs for the best one: a run for each trial."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from isotune.errors import IsotuneError, RunError, SpecError, TrainingError
from isotune.experiment.changes import differences
from isotune.experiment.parts import MAY_CHANGE
from isotune.experiment.sweeps.job import Job, Keep
from isotune.experiment.trackers import also_named, named
from isotune.interfaces.sweep import Trial
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.printable import printable
from isotune.progress.shown import shown
from isotune.progress.sweep import SweepProgress
from isotune.reports.sweep import counts, ranked, trials_table
from isotune.reports.tables import Table
from isotune.runs.sweep import BEST, MOST_TRIALS, Pruner, Sampler, SweepFile, SweepFolder
from isotune.spec.document import Document
from isotune.spec.load import SpecSource, read_spec
from isotune.spec.messages import explain_first
from isotune.spec.space.check import open_space
from isotune.spec.space.parameters import Range, Space, walk
from isotune.spec.space.read import SpaceSource

MOST_WORKERS = 256
"""Bound on the number of processes."""


@dataclass(frozen=True, repr=False)
class Sweep:
    """A sweep whose trials have ended.

    Attributes:
        path: Its folder.
        monitor: Name of the metric by which trials are compared.
        trials: All trials, in their order.
    """

    path: Path
    monitor: str
    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The first of the complete trials with the best value."""
        return ranked(self.monitor, self.trials)[0]

    @property
    def best_spec(self) -> Path:
        """The file of the best trial's spec."""
        return self.path / BEST

    def table(self) -> Table:
        """Returns a table of the best trials."""
        return trials_table(self.monitor, self.trials)

    def __repr__(self) -> str:
        return f"Sweep({printable(str(self.path))}: {counts(self.trials)})\n{self.table().plain()}"

    def _repr_html_(self) -> str:
        return self.table().html()

    def run(self, trial: Trial) -> Path:
        """Returns the run folder of a trial."""
        return SweepFolder(self.path).trial(trial.number)


def sweep(
    spec: SpecSource,
    *,
    space: SpaceSource,
    trials: int = 30,
    workers: int = 1,
    sampler: Sampler = "tpe",
    pruner: Pruner = "none",
    seed: int = 0,
    keep: Keep = "best",
    storage: str | None = None,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    output: str | Path | None = None,
    observers: Sequence[object] = (),
    plugins: Plugins = default_plugins,
    progress: bool = True,
) -> Sweep:
    """Searches a space of specs for the one with the best value of ``checkpoint.monitor``.

    Each trial is a run in the sweep's folder. Called again with the folder of a sweep that was
    stopped or killed at any moment, it goes on: trials that have ended are kept, and the one in
    progress is resumed. With one worker and the same seed it comes to the same trials as a sweep
    that was never stopped.

    Args:
        spec: As for :func:`isotune.run`.
        space: What varies: path of a YAML file as :mod:`isotune.spec.space.read` describes it, or
            the same as a mapping.
        trials: Number of trials that should end, those of earlier calls included.
        workers: Number of processes on this machine. More than one have equal shares of its CPUs.
        sampler: How values are chosen: ``tpe`` (tree-structured Parzen estimator), ``random``, or
            ``grid`` (every setting once).
        pruner: Which trials end early by the values of their epochs: ``none``, ``median``,
            ``successive_halving`` or ``hyperband``.
        seed: Seed of the sampler, 0 to 2**63 - 1. The runs have that of the spec.
        keep: Checkpoints of the ``best`` trial only, or of ``all``.
        storage: Address of a database that several machines share; None takes a file in the
            folder. It is written and shown without user, password and query.
        backend: Name of an installed backend; None takes the only one there is, or the one that
            has trained so far.
        device: As for :func:`isotune.run`.
        overrides: ``"optimizer.lr=0.01"``, as ``--set`` on the command line.
        output: The folder: new, empty or that of the same sweep; by default ``runs/NAME-sweep``.
        observers: As for :func:`isotune.run`; those that a spec may name are notified of all runs,
            others of the trials and, with one worker, of their runs.
        plugins: Where backends, backbones and observers are found.
        progress: As for :func:`isotune.run`; a line for each trial.

    Raises:
        SpecError: The spec or the space is wrong.
        TrainingError: Training failed in all trials.
        RunError: The folder is that of another sweep, or of something else.
        IsotuneError: As for :func:`isotune.run`, or Optuna is not installed.
    """
    check_optuna()
    _check_call(trials, workers, keep, output, plugins)
    objects, logs = named(observers)
    draft = also_named(read_spec(spec, overrides), logs)
    opened, checked = open_space(space, draft)
    name = checked[0].name
    folder = SweepFolder(Path(output) if output is not None else Path("runs") / f"{name}-sweep")
    fields = {
        "backend": backend or _backend(folder, plugins),
        "monitor": checked[0].checkpoint.monitor,
        "sampler": sampler,
        "pruner": pruner,
        "seed": seed,
        "spec": draft.document.data,
        "space": opened.data,
    }
    job = Job(
        folder=folder,
        description=_describe(folder, name, storage, fields),
        draft=draft,
        space=opened,
        url=storage,
        device=device,
        trials=_reachable(trials, sampler, opened),
        keep=keep,
        epochs=max(each.epochs for each in checked),
    )
    with shown(progress, SweepProgress) as own:
        return _search(job, workers, (*objects, *own), plugins)


def _search(job: Job, workers: int, observers: Sequence[object], plugins: Plugins) -> Sweep:
    from isotune.experiment.sweeps.search import run_trials
    from isotune.experiment.sweeps.workers import run_workers

    _begin(job)
    try:
        if workers == 1:
            trials = run_trials(job, observers, plugins)
        else:
            trials = run_workers(job, workers, observers, plugins)
    finally:
        job.folder.remove_unused()
    found = Sweep(job.folder.path, job.description.monitor, tuple(trials))
    if not ranked(found.monitor, found.trials):
        reasons = [trial.reason for trial in trials if trial.reason is not None]
        raise TrainingError(
            f"{found.path}: no trial was trained to its end; {counts(trials)}.",
            *(f"The first that failed: {reason}" for reason in reasons[:1]),
        )
    return found


def check_optuna() -> None:
    """Checks that Optuna is installed.

    Raises:
        IsotuneError: It is not.
    """
    if find_spec("optuna") is None:
        raise IsotuneError(
            'sweeps need Optuna, which is not installed; `pip install "isotune[search]"` installs'
            " it."
        )


def _check_call(
    trials: int, workers: int, keep: Keep, output: str | Path | None, plugins: Plugins
) -> None:
    """Checks the arguments of :func:`sweep` that nothing else checks.

    Raises:
        SpecError: One is wrong.
    """
    if output == "":  # Path("") would be the working directory
        raise SpecError("output: is empty; name a new or empty folder, or leave it out.")
    _check_number("trials", trials, MOST_TRIALS)
    _check_number("workers", workers, MOST_WORKERS)
    if keep not in get_args(Keep):
        raise SpecError(f"keep: should be {' or '.join(get_args(Keep))}, not {keep!r}.")
    if workers > 1 and plugins is not default_plugins:
        raise SpecError("workers: processes use the installed plugins; leave plugins out.")


def _check_number(name: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise SpecError(f"{name}: should be 1 to {most:,}, not {value}.")


def _reachable(trials: int, sampler: Sampler, space: Space) -> int:
    """Returns how many trials there can be: a grid has an end.

    Raises:
        SpecError: A grid has none.
    """
    if sampler != "grid":
        return trials
    for parameter, _ in walk(space.parameters):
        if parameter.domain.size is None and isinstance(parameter.domain, Range):
            raise SpecError(
                f"{parameter.where}: {parameter.name} has no step, so that a grid never ends; add"
                " one, list choices, or take another sampler."
            )
    return min(trials, space.size or trials)


def _backend(folder: SweepFolder, plugins: Plugins) -> str:
    """Returns the backend of a sweep that has begun, or the only usable one."""
    begun = SweepFolder.is_one(folder.path)
    return folder.description().backend if begun else plugins.only_usable()


def _describe(folder: SweepFolder, name: str, url: str | None, fields: dict[str, Any]) -> SweepFile:
    """Returns what is to be recorded of a sweep."""
    if SweepFolder.is_one(folder.path):
        study = folder.description().study
    elif url is None:
        study = name
    else:  # other sweeps of the same name may be in the database
        study = f"{name}-{secrets.token_hex(4)}"
    database = None
    if url is not None:
        from isotune.experiment.sweeps.storage import check_url

        database = check_url(url)
    fields = {"study": study, "database": database, **fields}
    try:
        return SweepFile.model_validate(fields)
    except ValidationError as error:
        raise SpecError(explain_first(error, Document(fields, "sweep"))) from error


def _begin(job: Job) -> None:
    """Creates the folder, unless it is that of the same sweep.

    Raises:
        RunError: It is another one's.
    """
    job.folder.create()
    with job.folder.locked():
        job.folder.create()  # a start that came to nothing may just have removed it
        if SweepFolder.is_one(job.folder.path):
            _check_same(job, job.folder.description())
        job.folder.describe(job.description)


def _check_same(job: Job, before: SweepFile) -> None:
    path, now = job.folder.path, job.description
    for name in ("sampler", "pruner", "seed", "backend", "database", "study"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            raise RunError(
                f"{path}: is a sweep whose {name} is {old!r}, not {new!r}; name another folder."
            )
    if before.space != now.space:
        raise RunError(f"{path}: is a sweep of another space; name another folder.")
    draft = replace(read_spec(before.spec), folder=job.draft.folder)
    specs = job.space.spec(draft, {}), job.space.spec(job.draft, {})
    for name, found, due in differences(*specs, MAY_CHANGE):
        raise RunError(
            f"{path}: is a sweep of another spec: {name} is {found!r}, not {due!r}; name another"
            f" folder. What may change: {', '.join(MAY_CHANGE)}."
        )
