"""Writes what came of the trials, and removes checkpoints that are not kept."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import yaml

from isotune.experiment.sweeps.study import Study
from isotune.interfaces.sweep import Trial
from isotune.reports.sweep import write_trials_csv
from isotune.runs.checkpoints import CheckpointStore
from isotune.runs.folder import RunFolder
from isotune.runs.sweep import BEST, TRIALS_CSV
from isotune.spec.load import dump_spec


def write_results(study: Study) -> list[Trial]:
    """Writes the files of a sweep by what its storage holds; returns the trials.

    Raises:
        RunError: A file cannot be written.
    """
    job = study.job
    with job.folder.locked():
        job.folder.remove_temporaries()
        trials = study.trials()
        best = study.best(trials)
        job.folder.write_trials(job.description.monitor, trials)
        text = io.StringIO(newline="")
        write_trials_csv(text, job.description.monitor, trials)
        job.folder.write(TRIALS_CSV, text.getvalue())
        if best is not None:
            _write_best(study, best)
        for trial in trials:
            if trial.state != "running":
                job.folder.remove_claim(trial.number)
                if job.keep == "best" and trial != best:
                    _remove_checkpoints(job.folder.trial(trial.number))
    return trials


def _write_best(study: Study, best: Trial) -> None:
    job = study.job
    spec = RunFolder.existing(job.folder.trial(best.number)).spec()
    given = job.space.spec(job.draft, best.parameters).dataset.check  # a resumed run fills it in
    dataset = spec.dataset.model_copy(update={"check": given})
    spec = spec.model_copy(update={"dataset": dataset})
    heading = (
        f"# The best trial of a sweep: trial {best.number}, {job.description.monitor}"
        f" {best.value!r} in epoch {best.epoch}, trained by {job.description.backend}.\n"
    )
    job.folder.write(BEST, heading + yaml.safe_dump(dump_spec(spec), sort_keys=False))


def _remove_checkpoints(path: Path) -> None:
    """Removes the weights of a run; its spec, metrics and summary stay."""
    folder = RunFolder(path)
    with suppress(OSError):
        if not any(folder.checkpoints.iterdir()):
            return
        name = folder.spec().checkpoint.save_best_as
        if name is not None:
            (path / name).unlink(missing_ok=True)
        CheckpointStore(folder.checkpoints).clear()
