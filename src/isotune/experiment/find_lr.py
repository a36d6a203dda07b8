"""Finds a learning rate for an experiment by a range test."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import yaml

from isotune.errors import SpecError
from isotune.experiment.prepared import PreparedExperiment, ResumeState
from isotune.interfaces.events import StopRequest
from isotune.plugins import Plugins
from isotune.plugins import plugins as default_plugins
from isotune.printable import printable
from isotune.progress.console import progress_console
from isotune.progress.range_test import range_test_bar
from isotune.reports.loss_curve import loss_curve_figure, loss_curve_table
from isotune.reports.numbers import count
from isotune.reports.tables import Table
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import SpecSource, load_spec
from isotune.spec.schedules.constant import ConstantSchedule
from isotune.training.isolation import isolated
from isotune.training.learner import Learner
from isotune.training.loss_curve import LossCurve, growing_rates
from isotune.training.range_test import OnStep, run_range_test
from isotune.training.session import Session
from isotune.training.stop import stop_on_signals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 20
"""Smallest number of steps; of fewer, too few are left to suggest anything."""


@dataclass(frozen=True, repr=False)
class LearningRates:
    """The learning rates that a range test suggests; shown as a table with a summary.

    Attributes:
        spec: The resolved spec, without what the test ignores.
        backend: Name of the backend.
        device: The device in use.
        curve: The loss over the learning rate.
        steepest: Learning rate at which the smoothed loss falls fastest; None if it falls nowhere.
        valley: Learning rate halfway through the longest fall of the smoothed loss, or None.
    """

    spec: ExperimentSpec
    backend: str
    device: str
    curve: LossCurve
    steepest: float | None
    valley: float | None

    @property
    def suggested(self) -> float | None:
        """The valley's learning rate, with two significant digits."""
        return None if self.valley is None else float(f"{self.valley:.2g}")

    def summary(self) -> str:
        """Returns a line on how far the test went, on which backend."""
        rates = self.curve.rates
        end = ", where the loss diverged" if self.curve.diverged else ""
        return (
            f"{self.spec.name}: {self.backend} on {self.device}, {count(len(rates), 'update')} from"
            f" learning rate {rates[0]:.2g} to {rates[-1]:.2g}{end}"
        )

    def line(self) -> str:
        """Returns the line to put into the spec, or a sentence that says that there is none."""
        rates = self.curve.rates
        if self.suggested is None and self.curve.diverged:
            return (
                f"the loss diverged at the learning rate {rates[-1]:.2g} before it had fallen: a"
                " smaller start may help."
            )
        if self.suggested is None:
            return (
                f"the loss does not fall at any learning rate from {rates[0]:.2g} to"
                f" {rates[-1]:.2g}: more steps, another range or larger batches may help."
            )
        optimizer = self.spec.optimizer
        own = optimizer.model_dump(mode="json", exclude_unset=True, exclude={"name", "lr"})
        fields = {"name": optimizer.name, "lr": self.suggested, **own}
        flow = yaml.safe_dump(fields, default_flow_style=True, sort_keys=False, width=1000)
        return f"optimizer: {flow.strip()}"

    def table(self) -> Table:
        """Returns a table with a row for each suggestion."""
        return loss_curve_table(self.curve, self._suggestions())

    def figure(self) -> Figure:
        """Returns the loss over the learning rate, with the suggestions.

        Raises:
            IsotuneError: matplotlib is not installed.
        """
        title = f"{self.spec.name}: loss over the learning rate"
        return loss_curve_figure(self.curve, self._suggestions(), title)

    def as_json(self) -> dict[str, Any]:
        """Returns plain data, with a list for each of the curve's columns."""
        curve = self.curve
        return {
            "backend": self.backend,
            "device": self.device,
            "steepest": self.steepest,
            "valley": self.valley,
            "suggested": self.suggested,
            "diverged": curve.diverged,
            "learning_rates": curve.rates,
            "losses": curve.losses,
            "smoothed_losses": curve.smoothed,
        }

    def __repr__(self) -> str:
        return f"{self.table().plain()}\n{printable(self.summary())}\n{printable(self.line())}"

    def _repr_html_(self) -> str:
        below = (f"<p>{escape(printable(line))}</p>" for line in (self.summary(), self.line()))
        return self.table().html() + "".join(below)

    def _suggestions(self) -> dict[str, float | None]:
        return {"steepest slope": self.steepest, "valley": self.valley}


def find_lr(
    spec: SpecSource,
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    backend: str | None = None,
    device: str = "auto",
    overrides: Iterable[str] = (),
    plugins: Plugins = default_plugins,
    on_step: OnStep | None = None,
    progress: bool = True,
) -> LearningRates:
    """Trains a new model at a growing learning rate, and suggests one for the experiment.

    The model is the experiment's before its first step, with the layers frozen that the first
    epoch freezes, and gets its first batches. It is not kept, and nothing is written but features
    that a run would keep, too. The spec's learning rate, schedule and averages are ignored.

    Args:
        spec: As for ``isotune.run``.
        start: Learning rate of the first update.
        end: Learning rate of the last update, unless the loss diverges before.
        steps: Number of updates.
        backend: As for ``isotune.run``.
        device: As for ``isotune.run``.
        overrides: As for ``isotune.run``.
        plugins: Where backends and backbones are found.
        on_step: Receives the curve after each update.
        progress: Whether a bar shows how far the test is, on a terminal or in a notebook; not where
            `on_step` is given.

    Raises:
        StoppedError: The first SIGINT or SIGTERM.
        TrainingError: The first loss is not finite.
        IsotuneError: As for ``isotune.run``.
    """
    if not 0 < start < end < math.inf:
        raise SpecError(
            f"start is {start:g} and end {end:g}, but they should be above 0 and end the larger."
        )
    if steps < FEWEST:
        raise SpecError(f"steps is {steps}, but should be at least {FEWEST}.")
    ignored = {"schedule": ConstantSchedule(), "ema": None}
    loaded = load_spec(spec, overrides).model_copy(update=ignored)
    session = Session.open(loaded, backend or plugins.only_usable(), device, plugins)
    with ExitStack() as stack:
        if on_step is None:
            on_step = _ignored
            if progress:
                on_step = stack.enter_context(range_test_bar(progress_console(), steps))
        stack.enter_context(isolated(session.backend))
        stop = stack.enter_context(stop_on_signals())
        curve = _curve(session, growing_rates(start, end, steps), stop, on_step)
    return LearningRates(
        spec=session.spec,
        backend=session.backend.name,
        device=session.backend.device,
        curve=curve,
        steepest=curve.steepest(),
        valley=curve.valley(),
    )


def _ignored(curve: LossCurve) -> None:
    """Is told of each step, and shows nothing."""


def _curve(session: Session, rates: list[float], stop: StopRequest, on_step: OnStep) -> LossCurve:
    prepared = PreparedExperiment.prepare(session, session.new_model(), ResumeState())
    learner = Learner(session.backend, prepared.strategies)
    check = session.images.check
    if check is not None:
        check.start(stop, lambda: None)
    try:
        learner.freeze(prepared.freezing(1))
        return run_range_test(session, learner.strategy, rates, stop, on_step)
    finally:
        if check is not None:
            check.close()
        session.images.caches.close()
        learner.close()
