"""Shows a run while it goes on: a line an epoch and, on a terminal, a bar of its steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isotune.cli.console import quoted, show, show_table
from isotune.reports.model_summary import PrintableSummary
from isotune.reports.numbers import count, duration, loss, number, percent, significant
from isotune.reports.splits import split_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from isotune.interfaces.events import (
        EpochEnded,
        EpochMetrics,
        RunFinished,
        RunStarted,
        StepEnded,
    )
    from isotune.reports.tables import Table

COLUMNS = (
    "  epoch",
    "        lr",
    "train loss",
    "accuracy",
    "  val loss",
    "accuracy",
    "seconds",
    "ms/step",
)


class RunProgress:
    """An observer of a run. Use it as a context, so that the bar is gone when the run ends.

    Args:
        console: where it shows.
        layers: whether it shows the model's layers, too.

    Attributes:
        folder: the run folder, once the run has started.
    """

    def __init__(self, console: Console, layers: bool = False) -> None:
        self._console = console
        self._layers = layers
        self._bar: Progress | None = None
        self._task: TaskID
        self._epochs = 0
        self._steps = 0
        self._newest_loss: float | None = None
        self._best_weights: str | None = None
        self.folder: Path | None = None

    def __enter__(self) -> RunProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._remove_bar()

    def isotune_run_started(self, event: RunStarted) -> None:
        """Shows what will run."""
        self.folder = event.folder
        self._epochs, self._steps = event.spec.epochs, event.steps_per_epoch
        self._newest_loss = None
        self._best_weights = event.spec.checkpoint.save_best_as
        show(self._console, f"{event.spec.name}: {event.backend} on {event.device}", "bold")
        for name, value in _facts(event).items():
            show(self._console, f"  {name:<12}{value}")
        self._show_table(split_table(event.classes, event.counts))
        if self._layers:
            summary = PrintableSummary(event.model.backbone, event.model.rows)
            self._show_table(summary.table())
            show(self._console, summary.totals())
            show(self._console)
        show(self._console, "  ".join(COLUMNS), "dim")

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Moves the bar."""
        if not self._console.is_terminal:
            return
        if event.loss is not None:
            self._newest_loss = event.loss
        name = f"  {event.epoch}/{self._epochs}"
        if self._bar is None:
            self._bar = _bar(self._console)
            self._task = self._bar.add_task(name, total=self._steps, loss=loss(self._newest_loss))
            self._bar.start()
        self._bar.update(
            self._task,
            completed=event.step,
            description=f"{name} validating" if event.step == self._steps else name,
            loss=loss(self._newest_loss),
        )

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Shows the epoch's figures."""
        self._remove_bar()
        line = epoch_line(event.metrics, self._epochs)
        if event.best:
            show(self._console, f"{line}  best", "bold")
        else:
            show(self._console, line)

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Shows what came out."""
        best, total = event.summary["best"], event.summary["timings"]["total"]
        show(
            self._console,
            f"best val accuracy {percent(best['val_accuracy'], 2)} in epoch {best['epoch']};"
            f" {duration(total)} in all",
            "bold",
        )
        if self._best_weights:
            show(self._console, f"best weights {event.folder / self._best_weights}")

    def left_behind(self) -> str:
        """Tells where a run that has been stopped left its newest checkpoint."""
        if self.folder is None:
            return "the run had not started; it left nothing."
        from isotune.runs.checkpoints import CheckpointStore
        from isotune.runs.folder import RunFolder

        newest = CheckpointStore(RunFolder(self.folder).checkpoints).index().last
        if newest is None:
            return f"there is no checkpoint yet; the run is in {self.folder}"
        return f"the newest checkpoint, {newest}, is in {self.folder}"

    def how_to_go_on(self) -> str:
        """Returns the command that continues the run; empty before it started."""
        return "" if self.folder is None else f"isotune resume {quoted(self.folder)}"

    def _show_table(self, table: Table) -> None:
        if not self._console.is_terminal:  # there, a table brings its own space
            show(self._console)
        show_table(self._console, table)
        if not self._console.is_terminal:
            show(self._console)

    def _remove_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def epoch_line(metrics: EpochMetrics, epochs: int) -> str:
    """Returns the line of an epoch, aligned under :data:`COLUMNS`."""
    cells = (
        f"{metrics.epoch}/{epochs}",
        significant(metrics.learning_rate),
        loss(metrics.train_loss),
        percent(metrics.train_accuracy),
        loss(metrics.val_loss),
        percent(metrics.val_accuracy),
        number(metrics.train_seconds + metrics.val_seconds, 1),
        number(metrics.step_ms, 1),
    )
    return "  ".join(cell.rjust(len(name)) for cell, name in zip(cells, COLUMNS, strict=True))


def _bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _facts(event: RunStarted) -> dict[str, str]:
    spec, model = event.spec, event.model
    images = ", ".join(f"{sum(each):,} {split}" for split, each in event.counts.items())
    left_out = ", ".join(f"{n} {split}" for split, n in event.skipped.items() if n)
    features = {"features": event.features} if event.features else {}
    epoch = event.steps // event.steps_per_epoch + 1
    begun = {"goes on": f"after step {event.steps}, in epoch {epoch}"} if event.steps else {}
    return {
        "images": images + (f"; left out as unreadable: {left_out}" if left_out else ""),
        "classes": f"{len(event.classes):,}",
        "backbone": f"{spec.backbone.name}, weights {spec.backbone.weights}",
        "training": f"{model.trainable:,} of {count(model.parameters, 'parameter')},"
        f" {count(event.steps_per_epoch, 'step')} an epoch",
        **features,
        **begun,
        "run folder": str(event.folder),
    }
