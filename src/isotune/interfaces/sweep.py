"""A trial of a sweep, and the event that it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TrialState = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """A run of a sweep.

    Attributes:
        number: Its number, from 0.
        state: ``pruned`` ended it before its last epoch, since it promised little; ``failed``: its
            loss became NaN, say; ``running``: it has not ended.
        parameters: Values of what varies, by name: numbers, or labels of choices.
        value: Best value of the monitored metric, of a pruned trial the last one; None without any.
        epoch: The epoch of that value.
        epochs: Number of epochs that have ended.
        seconds: Wall time in the process that ended it.
        reason: What made it fail; None otherwise.
    """

    number: int
    state: TrialState
    parameters: Mapping[str, int | float | str]
    value: float | None = None
    epoch: int | None = None
    epochs: int = 0
    seconds: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class TrialEnded:
    """A trial of a sweep is over, and recorded.

    Attributes:
        folder: The sweep's folder.
        monitor: Name of the metric by which trials are compared.
        trial: The trial.
        best: Whether it is the best one so far.
        ended: Number of trials that have ended, this one included.
        trials: Number of trials that were asked for.
        features: How its run cached features, as a phrase; None where it did not.
    """

    folder: Path
    monitor: str
    trial: Trial
    best: bool
    ended: int
    trials: int
    features: str | None = None
