"""Works on a sweep in this process, trial after trial."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from isotune.experiment.sweeps.job import Job
from isotune.experiment.sweeps.results import write_results
from isotune.experiment.sweeps.study import Study
from isotune.experiment.sweeps.trial import TrialRun
from isotune.interfaces.sweep import Trial, TrialEnded
from isotune.plugins import Plugins


def run_trials(job: Job, observers: Sequence[object], plugins: Plugins) -> list[Trial]:
    """Trains trials until as many have ended as should, or other processes train the rest.

    Args:
        job: The sweep.
        observers: Notified of the trials and their runs.
        plugins: Where backends, backbones and observers are found.

    Returns:
        All trials, those of other processes included.

    Raises:
        IsotuneError: As :func:`isotune.sweep`.
    """
    study = Study(job)
    trials = write_results(study)  # a process may have been killed before it did
    with _collecting() as collect:
        while (claimed := study.next()) is not None:
            run = TrialRun(study, claimed, observers, plugins)
            try:
                study.end(claimed, run.outcome())
            finally:
                claimed.release()
            trials = write_results(study)
            plugins.notify("isotune_trial_ended", _event(run, trials), observers)
            collect()
    return trials


def _event(run: TrialRun, trials: Sequence[Trial]) -> TrialEnded:
    study, number = run.study, run.claimed.number
    best = study.best(trials)
    return TrialEnded(
        folder=study.job.folder.path,
        monitor=study.job.description.monitor,
        trial=trials[number],
        best=best is not None and best.number == number,
        ended=sum(trial.state != "running" for trial in trials),
        trials=study.job.trials,
        features=run.features,
    )


@contextmanager
def _collecting() -> Iterator[Callable[[], object]]:
    """Yields what frees the memory of a run's model, parts of which refer to each other.

    Objects from before the block are left out, which takes the collection 0.2 s with a framework.
    """
    gc.freeze()
    try:
        yield gc.collect
    finally:
        gc.unfreeze()
