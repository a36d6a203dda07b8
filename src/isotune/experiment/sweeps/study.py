"""The trials of a sweep: which is next, what is known of each, and what came of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from isotune.errors import RunError
from isotune.experiment.sweeps.job import Job
from isotune.experiment.sweeps.samplers import SeededSampler, pruner
from isotune.experiment.sweeps.storage import machine, open_storage, storage_errors
from isotune.interfaces import sweep as interfaces
from isotune.metrics import monitored
from isotune.reports.sweep import ranked
from isotune.runs.read import checked
from isotune.runs.sweep import DATABASE, TrialLine
from isotune.spec.space.parameters import Choices, Parameter, Value, walk

STATES: dict[TrialState, interfaces.TrialState] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
"""Optuna's states of trials. None is ever waiting: values are drawn when a trial begins."""

PRUNED, MACHINE, OUTCOME = "pruned", "machine", "outcome"
"""Names of attributes in Optuna's storage: the epoch that decided against a trial, where it began,
and :data:`DETAILS` of what came of it."""

DETAILS = ("epoch", "epochs", "seconds", "reason")
"""Attributes of :class:`isotune.interfaces.sweep.Trial` that Optuna does not have."""


@dataclass
class Claimed:
    """A trial that this process trains.

    Attributes:
        number: Its number.
        picked: Values of the parameters, by name.
        optuna: The trial in Optuna's storage.
        reported: Epochs whose value the storage has.
        pruned: Whether it was decided to end it early.
        lock: The lock, released when it is closed.
    """

    number: int
    picked: dict[str, Value]
    optuna: optuna.trial.Trial
    reported: set[int]
    pruned: bool
    lock: int

    def goes_on(self, epoch: int, value: float) -> bool:
        """Records the value of an epoch; returns whether the trial is worth going on."""
        if epoch not in self.reported:
            self.optuna.report(value, epoch)
            self.reported.add(epoch)
        if self.optuna.should_prune():
            self.optuna.set_user_attr(PRUNED, epoch)
            self.pruned = True
        return not self.pruned

    def release(self) -> None:
        """Lets other processes take the trial over if it has not ended."""
        os.close(self.lock)


@dataclass
class Study:
    """A sweep's study in Optuna's storage.

    Attributes:
        job: The sweep.
    """

    job: Job
    _study: optuna.Study = field(init=False)
    _parameters: dict[str, Parameter] = field(init=False)

    def __post_init__(self) -> None:
        job, description = self.job, self.job.description
        metric = monitored(description.monitor)
        self._parameters = {each.name: each for each, _ in walk(job.space.parameters)}
        with job.folder.locked(), self.errors():
            storage = open_storage(job.folder.database(), job.url)
            self._check_there(storage)
            self._study = optuna.create_study(
                storage=storage,
                study_name=description.study,
                direction="maximize" if metric.higher_is_better else "minimize",
                sampler=SeededSampler(description.sampler, description.seed),
                pruner=pruner(description.pruner, job.epochs),
                load_if_exists=True,
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what goes wrong in the storage into a sentence.

        Raises:
            RunError: The storage cannot be used.
        """
        with storage_errors(self._name, self.job.url):
            yield

    @property
    def _name(self) -> str:
        return self.job.description.database or str(self.job.folder.path / DATABASE)

    def next(self) -> Claimed | None:
        """Returns a trial to train: one that a process has left, or a new one; None if all ended.

        Trials of the database's other machines are left to them: their locks may not be seen here.

        Raises:
            RunError: The storage or the folder cannot be used.
        """
        with self.job.folder.locked(), self.errors():
            trials = self._study.get_trials(deepcopy=False)
            running = [trial for trial in trials if not trial.state.is_finished()]
            others = 0
            for trial in running:
                lock = self.job.folder.claim(trial.number)
                if lock is None:
                    others += 1
                elif self._is_ours(trial):
                    return self._claimed(optuna.trial.Trial(self._study, trial._trial_id), lock)
                else:
                    os.close(lock)
            if len(trials) - len(running) + others >= self.job.trials:
                return None
            new = self._study.ask()
            lock = self.job.folder.claim(new.number)
            if lock is None:
                raise RunError(f"{self.job.folder.trial(new.number)}: another process trains it.")
            return self._claimed(new, lock)

    def end(self, claimed: Claimed, outcome: interfaces.Trial) -> None:
        """Records that a trial has ended, and how.

        Raises:
            RunError: The storage cannot be used.
        """
        states = {name: state for state, name in STATES.items()}
        with self.errors():
            details = {name: getattr(outcome, name) for name in DETAILS}
            claimed.optuna.set_user_attr(OUTCOME, details)
            value = outcome.value if outcome.state == "complete" else None
            self._study.tell(claimed.optuna, value, state=states[outcome.state])

    def trials(self) -> list[interfaces.Trial]:
        """Returns all trials, in their order.

        Raises:
            RunError: The storage cannot be used.
        """
        with self.errors():
            return [self._trial(each) for each in self._study.get_trials(deepcopy=False)]

    def best(self, trials: Sequence[interfaces.Trial]) -> interfaces.Trial | None:
        """Returns the first of the complete trials with the best value, or None."""
        return next(iter(ranked(self.job.description.monitor, trials)), None)

    def _check_there(self, storage: Any) -> None:
        """Refuses to begin anew where trials have begun: the address may be another's."""
        names = {study.study_name for study in optuna.get_all_study_summaries(storage)}
        if self.job.description.study not in names and self.job.folder.begun():
            raise RunError(
                f"{self.job.folder.path}: has trials, but its storage has none; give the sweep the"
                " storage that it began with."
            )

    def _is_ours(self, trial: FrozenTrial) -> bool:
        return self.job.url is None or trial.user_attrs.get(MACHINE) == machine()

    def _claimed(self, trial: optuna.trial.Trial, lock: int) -> Claimed:
        try:
            return self._drawn(trial, lock)
        except BaseException:  # in a notebook, the process does not end
            os.close(lock)
            raise

    def _drawn(self, trial: optuna.trial.Trial, lock: int) -> Claimed:
        if self.job.url is not None and MACHINE not in trial.user_attrs:
            trial.set_user_attr(MACHINE, machine())
        picked = self.job.space.pick(lambda parameter: _suggested(trial, parameter))
        known = self._study.get_trials(deepcopy=False)[trial.number]
        pruned = PRUNED in known.user_attrs
        return Claimed(trial.number, picked, trial, set(known.intermediate_values), pruned, lock)

    def _trial(self, known: FrozenTrial) -> interfaces.Trial:
        ended = known.state.is_finished()
        details = known.user_attrs.get(OUTCOME)
        line = {
            "number": known.number,
            "state": STATES[known.state],
            "value": known.value if ended else None,
            "epoch": None,
            "epochs": len(known.intermediate_values),
            "seconds": None,
            "reason": None,
            **(details if isinstance(details, dict) else {}),
            "parameters": {
                name: _cleaned(self._parameters[name], value)
                for name, value in known.params.items()
                if name in self._parameters
            },
        }
        if known.state == TrialState.PRUNED:
            line["epoch"] = known.last_step
        return interfaces.Trial(**dict(checked(TrialLine, line, self._name)))


def _suggested(trial: optuna.trial.Trial, parameter: Parameter) -> Value:
    """Returns the value of a parameter, drawn now unless the storage has it."""
    domain, name = parameter.domain, parameter.name
    if isinstance(domain, Choices):
        return str(trial.suggest_categorical(name, domain.ends()))
    if domain.whole:
        low, high = int(domain.low), int(domain.high)
        return trial.suggest_int(name, low, high, step=int(domain.step or 1), log=domain.log)
    value = trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)
    return domain.rounded(value)


def _cleaned(parameter: Parameter, value: Any) -> Value:
    domain = parameter.domain
    return str(value) if isinstance(domain, Choices) else domain.rounded(value)
