"""The learning-rate range test: a few updates whose learning rate grows from one to the next.

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3; growing
exponentially, and ending where the loss diverges, as fastai's ``lr_find`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

from isotune.errors import DatasetError, StoppedError
from isotune.interfaces.events import StopRequest
from isotune.interfaces.trainer import StepPlan
from isotune.training.accumulator import Stopwatch
from isotune.training.evaluation import LabelBatches
from isotune.training.finite import not_finite_at_first
from isotune.training.loss_curve import LossCurve
from isotune.training.micro_batches import epoch_micro_batches
from isotune.training.session import Session
from isotune.training.strategy import Strategy

OnStep = Callable[[LossCurve], None]
"""Receives the curve after each update."""


def run_range_test(
    session: Session,
    strategy: Strategy,
    rates: Sequence[float],
    stop: StopRequest,
    on_step: OnStep,
) -> LossCurve:
    """Makes an update at each of the learning rates, until the loss diverges.

    Args:
        session: The experiment; its schedule is ignored.
        strategy: Trains the model, which changes.
        rates: The learning rates.
        stop: Asks the test to stop.
        on_step: Receives the curve after each update.

    Raises:
        TrainingError: The first loss is not finite.
        StoppedError: The test was asked to stop.
        DatasetError: An image is broken.
    """
    curve = LossCurve(len(rates))
    for rate, loss in zip(rates, _losses(session, strategy, rates, stop), strict=False):
        curve.add(rate, loss)
        if not curve.rates:
            raise not_finite_at_first(loss)
        on_step(curve)
        if curve.diverged:
            break
    return curve


def _losses(
    session: Session, strategy: Strategy, rates: Sequence[float], stop: StopRequest
) -> Iterator[float]:
    """Yields the mean loss of each update, over all of its batches; as many as there are rates."""
    left, trainer, division = iter(rates), strategy.trainer, session.division
    train, labels, waiting = session.training_batches(), LabelBatches(), Stopwatch()
    own = len(division.own)
    for epoch in count():
        parts = epoch_micro_batches(session.spec, session.plan, train, epoch, division)
        done, start, pending = 0, 0, []
        for batch in strategy.training(epoch, 0, waiting, labels):
            part, step = parts[done], epoch * len(train) + done // own
            if done == start:
                rate = next(left)
            plan = StepPlan(step, rate, part.loss_scale, part.apply_update, part=part.part)
            pending.append(trainer.train_step(batch, plan))
            done += 1
            if part.apply_update:
                outputs = zip(trainer.fetch(pending), parts[start:done], strict=True)
                # The loss of an empty part, whose scale is 0, may be anything.
                yield sum(
                    output.loss * each.loss_scale for output, each in outputs if each.loss_scale
                )
                start = done
                pending.clear()
                labels.clear()
                _check_stop(stop)
        if done < len(parts):
            _check_stop(stop)


def _check_stop(stop: StopRequest) -> None:
    if stop.fault:
        raise DatasetError(f"{stop.reason}.")
    if stop.requested:
        raise StoppedError(f"stopped by {stop.reason}; nothing was written.")
