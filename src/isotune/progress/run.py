"""Shows a run in progress: a line per epoch and, where one can move, a bar of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isotune.progress.bar import bar_on
from isotune.progress.console import quoted, show, show_table
from isotune.reports.describe import counted_as_true, described_mixing
from isotune.reports.metrics import heading, written
from isotune.reports.model_summary import PrintableSummary
from isotune.reports.numbers import count, duration, loss, number, significant
from isotune.reports.splits import split_table

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.interfaces.events import (
        EpochEnded,
        RunFinished,
        RunStarted,
        StepEnded,
    )
    from isotune.interfaces.metrics import EpochMetrics
    from isotune.reports.tables import Table

VALUES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


class RunProgress:
    """An observer of a run. Use it as a context, so that the bar is gone when the run ends.

    Args:
        console: Where it shows.
        layers: Whether it shows the model's layers, too.
        processes: Number of processes that continue the run if it stops early.

    Attributes:
        folder: The run folder, once the run has started.
    """

    def __init__(self, console: Console, layers: bool = False, processes: int = 1) -> None:
        self._console = console
        self._bar = bar_on(console)
        self._processes = processes
        self._layers = layers
        self._epochs = 0
        self._steps = 0
        self._last_loss: float | None = None
        self._monitor = "val_accuracy"
        self._values: tuple[str, ...] = VALUES
        self._best_weights: str | None = None
        self.folder: Path | None = None

    def __enter__(self) -> RunProgress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def isotune_run_started(self, event: RunStarted) -> None:
        """Shows what will run."""
        self.folder = event.folder
        self._epochs, self._steps = event.spec.epochs, event.steps_per_epoch
        self._last_loss = None
        self._monitor = event.spec.checkpoint.monitor
        named = (f"val_{name}" for name in event.spec.metrics)
        norm = () if event.spec.clip_grad_norm is None else ("grad_norm",)
        self._values = tuple(dict.fromkeys((*VALUES, *norm, *named)))
        self._best_weights = event.spec.checkpoint.save_best_as
        self._show_head(event)
        show(self._console, "  ".join(columns(self._values)), "dim")

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Updates the progress bar."""
        if self._bar is None:
            return
        if event.loss is not None:
            self._last_loss = event.loss
        validating = " validating" if event.step == self._steps else ""
        name = f"  {event.epoch}/{self._epochs}{validating}"
        self._bar.show(name, event.step, self._steps, f"loss {loss(self._last_loss)}")

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Shows the epoch's metrics."""
        self._make_way()
        line = epoch_line(event.metrics, self._epochs, self._values)
        if event.best:
            show(self._console, f"{line}  best", "bold")
        else:
            show(self._console, line)

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Shows the best value of the monitored metric."""
        best, total = event.summary["best"], event.summary["timings"]["total"]
        value = written(self._monitor, best[self._monitor], exact=True)
        show(
            self._console,
            f"best val {heading(self._monitor)} {value} in epoch {best['epoch']};"
            f" {duration(total)} in all",
            "bold",
        )
        if self._best_weights:
            show(self._console, f"best weights {event.folder / self._best_weights}")

    def left_behind(self) -> str:
        """Returns a sentence on where a stopped run left its last checkpoint."""
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
        if self.folder is None:
            return ""
        together = f" --processes {self._processes}" if self._processes > 1 else ""
        return f"isotune resume {quoted(self.folder)}{together}"

    def _show_head(self, event: RunStarted) -> None:
        show(self._console, f"{event.spec.name}: {event.backend} on {event.device}", "bold")
        for name, value in facts(event).items():
            show(self._console, f"  {name:<12}{value}")
        self._show_table(split_table(event.classes, event.counts, event.images))
        if self._layers:
            summary = PrintableSummary(event.model.backbone, event.model.rows)
            self._show_table(summary.table())
            show(self._console, summary.totals())
            show(self._console)

    def _show_table(self, table: Table) -> None:
        if not self._console.is_terminal:  # there, a table brings its own space
            show(self._console)
        show_table(self._console, table)
        if not self._console.is_terminal:
            show(self._console)

    def _make_way(self) -> None:
        if self._bar is not None:
            self._bar.make_way()


class FoldProgress(RunProgress):
    """An observer of the runs of a cross-validation."""

    _begun = False

    def how_to_go_on(self) -> str:
        """Returns the command that continues the cross-validation; empty before it started."""
        return "" if self.folder is None else f"isotune resume {quoted(self.folder.parent)}"

    def _show_head(self, event: RunStarted) -> None:
        fold = event.spec.dataset.fold
        assert fold is not None, "each of the runs is a fold"
        if self._begun:
            show(self._console)
        show(self._console, f"fold {fold.number} of {fold.folds}", "bold")
        if not self._begun:
            super()._show_head(event)
        self._begun = True


def columns(values: Sequence[str]) -> list[str]:
    """Returns the headings of epochs' lines, as wide as their columns.

    Args:
        values: Names of the values that are shown, as in :data:`VALUES`.
    """
    names = ["train loss", "accuracy", "val loss".rjust(10), *map(heading, values[3:])]
    return ["  epoch", "        lr", *(name.rjust(6) for name in names), "seconds", "ms/step"]


def epoch_line(metrics: EpochMetrics, epochs: int, values: Sequence[str] = VALUES) -> str:
    """Returns the line of an epoch, aligned under :func:`columns`."""
    cells = (
        f"{metrics.epoch}/{epochs}",
        significant(metrics.learning_rate),
        *(written(name, metrics.value(name)) for name in values),
        number(metrics.train_seconds + metrics.val_seconds, 1),
        number(metrics.step_ms, 1),
    )
    widths = map(len, columns(values))
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def facts(event: RunStarted) -> dict[str, str]:
    """Returns what is shown of a run before it starts, by its name."""
    spec, model = event.spec, event.model
    images = ", ".join(f"{number:,} {split}" for split, number in event.images.items())
    left_out = ", ".join(
        f"{n} before they were divided" if split == "all" else f"{n} {split}"
        for split, n in event.skipped.items()
        if n
    )
    during = "; checked during training" if spec.dataset.check == "during_training" else ""
    mixing = {}
    if spec.mixing is not None:
        true = counted_as_true(spec.dataset.multi_label)
        mixing = {"mixing": f"{described_mixing(spec.mixing)}; train accuracy: of {true}"}
    features = {"features": event.features} if event.features else {}
    epoch = event.steps // event.steps_per_epoch + 1
    begun = {"goes on": f"after step {event.steps}, in epoch {epoch}"} if event.steps else {}
    return {
        "images": images + (f"; left out as unreadable: {left_out}" if left_out else "") + during,
        "classes": f"{len(event.classes):,}",
        "backbone": f"{spec.backbone.name}, weights {spec.backbone.weights}",
        "training": f"{model.trainable:,} of {count(model.parameters, 'parameter')},"
        f" {count(event.steps_per_epoch, 'step')} an epoch",
        **mixing,
        **features,
        **begun,
        "run folder": str(event.folder),
    }
