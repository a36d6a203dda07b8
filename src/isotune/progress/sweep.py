"""Shows a sweep in progress: a line per trial and, on a terminal, a bar of the trial's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isotune.progress.console import quoted, show
from isotune.progress.run import RunProgress, facts
from isotune.reports.metrics import heading, written
from isotune.reports.numbers import count, duration
from isotune.reports.sweep import setting

if TYPE_CHECKING:
    from isotune.interfaces.events import EpochEnded, RunFinished, RunStarted
    from isotune.interfaces.sweep import Trial, TrialEnded

NOT_KEPT = "not kept: every step runs the whole model"


class SweepProgress(RunProgress):
    """An observer of a sweep and, if they run in this process, of its trials."""

    _begun = _told = False

    def isotune_run_started(self, event: RunStarted) -> None:
        """Shows what all trials have in common, once."""
        self.folder = event.folder.parent.parent
        self._epochs, self._steps = event.spec.epochs, event.steps_per_epoch
        self._last_loss = None
        if self._begun:
            return
        self._begun = True
        show(self._console, f"{event.spec.name}: {event.backend} on {event.device}", "bold")
        for name, value in facts(event).items():
            if name in ("images", "classes", "backbone"):
                show(self._console, f"  {name:<12}{value}")
        self._show_features(event.features)
        show(self._console, f"  {'sweep':<12}{self.folder}")

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Removes the bar."""
        self._make_way()

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Shows nothing: the trial's line comes next."""

    def isotune_trial_ended(self, event: TrialEnded) -> None:
        """Shows what came of a trial."""
        self._make_way()
        self.folder = event.folder
        if not self._begun:  # its run is in another process
            self._begun = True
            self._show_features(event.features)
        if not self._told:
            names = ["  ended", "trial", heading(event.monitor).rjust(9), "epochs", "   time"]
            show(self._console, "  ".join([*names, "setting"]), "dim")
        self._told = True
        line = trial_line(event.monitor, event.trial, f"{event.ended}/{event.trials}")
        if event.best:
            show(self._console, f"{line}  best", "bold")
        else:
            show(self._console, line)

    def _show_features(self, features: str | None) -> None:
        kept = f"{features}, shared by trials" if features else NOT_KEPT
        show(self._console, f"  {'features':<12}{kept}")

    def left_behind(self) -> str:
        """Returns a sentence on where a stopped sweep left its trials."""
        return "no trial had begun." if self.folder is None else f"trials are in {self.folder}"

    def how_to_go_on(self) -> str:
        """Returns how to continue the sweep; empty before it started."""
        if self.folder is None:
            return ""
        return f"the same command, with --output {quoted(self.folder)}"


def trial_line(monitor: str, trial: Trial, ended: str) -> str:
    """Returns the line of a trial that has ended."""
    cells = [
        ended.rjust(7),
        str(trial.number).rjust(5),
        written(monitor, trial.value).rjust(max(9, len(heading(monitor)))),
        str(trial.epochs).rjust(6),
        duration(trial.seconds).rjust(7),
        ", ".join(f"{name} {setting(value)}" for name, value in trial.parameters.items()),
    ]
    if trial.state != "complete":
        because = f": {trial.reason}" if trial.reason else f" after {count(trial.epochs, 'epoch')}"
        cells.append(f"{trial.state}{because}")
    return "  ".join(cells)
