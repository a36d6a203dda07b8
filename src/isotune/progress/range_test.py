"""Shows a range test of learning rates in progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isotune.progress.console import bar_console
from isotune.reports.numbers import loss, significant

if TYPE_CHECKING:
    from rich.console import Console

    from isotune.training.loss_curve import LossCurve
    from isotune.training.range_test import OnStep


@contextmanager
def range_test_bar(console: Console, steps: int) -> Iterator[OnStep]:
    """Yields what moves a bar after each step; where none can move, it shows nothing.

    Args:
        console: Where the bar is shown.
        steps: Number of steps.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("  learning rate {task.fields[rate]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("smoothed loss {task.fields[loss]}"),
    )
    bars = bar_console(console)
    bar = Progress(*columns, console=bars or console, transient=True, disable=bars is None)
    task = bar.add_task("", total=steps, rate="", loss="")

    def on_step(curve: LossCurve) -> None:
        bar.start()  # not before, since downloads have bars of their own
        rate, value = significant(curve.rates[-1], 2), loss(curve.smoothed[-1])
        bar.update(task, completed=len(curve.rates), rate=rate, loss=value)

    try:
        yield on_step
    finally:
        bar.stop()
