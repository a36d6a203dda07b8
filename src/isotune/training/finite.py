"""Stops training whose loss or state is no longer finite, and says what is likely the cause."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.errors import TrainingError
from isotune.interfaces.checkpoint import not_finite
from isotune.training.accumulator import LOSS, EpochAccumulator, StepScores
from isotune.training.learner import Learner

ADVICE = "a smaller optimizer.lr usually helps."


def check_losses(learner: Learner, scores: StepScores, accumulator: EpochAccumulator) -> None:
    """Checks the losses of the steps that follow those of `accumulator`, of all their parts.

    Raises:
        TrainingError: One is not finite. The message names the first tensor that is not, either,
            or the one with the largest value.
    """
    for number, losses in enumerate(scores[:, :, LOSS].tolist(), accumulator.steps):
        loss = next((loss for loss in losses if not math.isfinite(loss)), None)
        if loss is None:
            continue
        if (accumulator.epoch, number) == (1, 0):
            raise not_finite_at_first(loss)
        raise _no_number("training", loss, learner, accumulator.epoch)


def not_finite_at_first(loss: float) -> TrainingError:
    """Returns the error of a loss that is not finite before any update."""
    return TrainingError(
        f"the training loss is {loss} at the first step, before any update: the weights that were"
        " read are the cause, or normalization or precision, not optimizer.lr."
    )


def check_evaluation(learner: Learner, loss: float, epoch: int) -> None:
    """Checks the validation loss of an epoch.

    Raises:
        TrainingError: It is not finite. The message names a tensor as in :func:`check_losses`.
    """
    if not math.isfinite(loss):
        raise _no_number("validation", loss, learner, epoch)


def check_state(state: Mapping[str, NDArray[Any]], epoch: int) -> None:
    """Checks what an epoch has trained: a loss may be finite where a state is not.

    MindSpore's ReLU turns NaN into 0, and Adam ignores a gradient whose square is infinite.

    Raises:
        TrainingError: A tensor has values that are not finite; the message names it.
    """
    if (name := not_finite(state)) is not None:
        raise TrainingError(f"{_values(name)} in epoch {epoch}; {ADVICE}")


def suspect(state: Mapping[str, NDArray[Any]]) -> str:
    """Returns which tensor is the likely cause of outputs that are not finite, as a clause.

    That is the first tensor that is not finite itself, or the one with the largest value.
    """
    if (name := not_finite(state)) is not None:
        return _values(name)
    largest = {name: float(np.abs(value).max(initial=0)) for name, value in state.items()}
    name = max(largest, key=largest.__getitem__)
    return f"the largest value of the model, {largest[name]:.2g}, is in '{name}'"


def _no_number(which: str, loss: float, learner: Learner, epoch: int) -> TrainingError:
    cause = suspect(learner.changing_state())
    return TrainingError(f"the {which} loss became {loss} in epoch {epoch}, and {cause}; {ADVICE}")


def _values(name: str) -> str:
    return f"'{name}' has values that are not finite (NaN or infinity)"
