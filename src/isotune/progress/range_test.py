"""Shows a range test of learning rates in progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from isotune.progress.bar import bar_on
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
    bar = bar_on(console)

    def on_step(curve: LossCurve) -> None:
        if bar is not None:
            rate, value = significant(curve.rates[-1], 2), loss(curve.smoothed[-1])
            bar.show(f"  learning rate {rate}", len(curve.rates), steps, f"smoothed loss {value}")

    try:
        yield on_step
    finally:
        if bar is not None:
            bar.close()
