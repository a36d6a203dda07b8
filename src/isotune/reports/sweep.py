"""The trials of a sweep as a table and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TextIO

from isotune.interfaces.sweep import Trial
from isotune.metrics import monitored
from isotune.printable import csv_cell
from isotune.reports.metrics import heading, written
from isotune.reports.numbers import NONE, count, duration, significant
from isotune.reports.tables import Table


def ranked(monitor: str, trials: Sequence[Trial]) -> list[Trial]:
    """Returns the complete trials, the best first; of equal ones, the first to begin."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    sign = -1 if monitored(monitor).higher_is_better else 1
    return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def parameter_names(trials: Sequence[Trial]) -> list[str]:
    """Returns the names of all parameters that a trial has, in the order of their first."""
    return list(dict.fromkeys(name for trial in trials for name in trial.parameters))


def trials_table(monitor: str, trials: Sequence[Trial], most: int = 10) -> Table:
    """Returns a table of the best trials.

    Args:
        monitor: Name of the metric by which trials are compared.
        trials: All trials.
        most: Largest number of rows.
    """
    best = ranked(monitor, trials)[:most]
    names = parameter_names(best)
    table = Table(["trial", heading(monitor), "epoch", "seconds", *names])
    for trial in best:
        values = (setting(trial.parameters.get(name)) for name in names)
        seconds = duration(trial.seconds).removesuffix(" s")
        shown = written(monitor, trial.value, exact=True)
        table.add(trial.number, shown, trial.epoch, seconds, *values)
    return table


def setting(value: int | float | str | None) -> str:
    """Returns the value of a parameter as text: numbers with four significant digits."""
    if value is None:
        return NONE
    return significant(value, 4) if isinstance(value, float) else str(value)


def counts(trials: Sequence[Trial]) -> str:
    """Returns how many trials came to what, as ``20 trials: 14 complete, 6 pruned``."""
    ended = [trial for trial in trials if trial.state != "running"]
    states = [trial.state for trial in ended]
    each = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{count(len(ended), 'trial')}: {each or 'none has ended'}"


def write_trials_csv(stream: TextIO, monitor: str, trials: Sequence[Trial]) -> None:
    """Writes a row for each trial; text is printable, and none is a formula."""
    names = parameter_names(trials)
    writer = csv.writer(stream, lineterminator="\n")
    columns = ["trial", "state", monitor, "epoch", "epochs", "seconds", "reason"]
    writer.writerow([*columns, *map(csv_cell, names)])
    for trial in trials:
        cells = [trial.number, trial.state, trial.value, trial.epoch, trial.epochs, trial.seconds]
        values = (trial.parameters.get(name) for name in names)
        writer.writerow([*map(_cell, (*cells, trial.reason, *values))])


def _cell(value: int | float | str | None) -> object:
    return csv_cell(value) if isinstance(value, str) else value
