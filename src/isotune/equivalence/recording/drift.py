"""How training goes on for some steps, and how it goes when something else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.recording.live import LiveSide
from isotune.equivalence.traces.sampling import positions
from isotune.equivalence.traces.trace import ITSELF, Drift, Predictions
from isotune.interfaces.checkpoint import State, digest
from isotune.interfaces.dataset import Batch
from isotune.interfaces.names import is_parameter
from isotune.training.evaluation import joined, logits_by_batch

PARAMETERS = "drift"
"""Name by which the concatenation of all parameters is sampled."""


@dataclass
class Course:
    """What is kept of a run of some steps.

    Attributes:
        trains: Names of the parameters that train, which are sampled: among all those of a frozen
            model, samples would miss a head. Empty takes all.
        losses: Its losses.
        parameters: Samples of these parameters after each step.
        logits: What the model predicts after it; None if nothing is to be predicted.
    """

    trains: frozenset[str] = frozenset()
    losses: list[float] = field(default_factory=list)
    parameters: list[NDArray[np.float32]] = field(default_factory=list)
    logits: NDArray[np.float32] | None = None

    def add(self, loss: float, model: State) -> None:
        """Adds a step, given the model's tensors after it."""
        self.losses.append(loss)
        self.parameters.append(sampled_parameters(model, self.trains))


def sampled_parameters(model: State, trains: frozenset[str]) -> NDArray[np.float32]:
    """Returns samples of the concatenation of these parameters by sorted names: float32."""
    values = [model[name] for name in sorted(trains or model) if is_parameter(name)]
    ends = np.cumsum([0, *(value.size for value in values)])
    places = positions(PARAMETERS, (int(ends[-1]),))
    cuts = np.searchsorted(places, ends)
    return np.concatenate(
        [
            np.asarray(value.flat[places[cuts[i] : cuts[i + 1]] - ends[i]], np.float32)
            for i, value in enumerate(values)
        ]
    )


def predict(live: LiveSide, batches: Sequence[Batch]) -> NDArray[np.float32] | None:
    """Returns the logits of images, those of the averages if there are any.

    Returns None without images, and in all processes except process 0.
    """
    if not batches or not live.group.place.leads:
        return None
    live.trainer.swap_average()
    try:
        logits = logits_by_batch(live.backend, live.trainer, batches, live.normalization)
        return np.concatenate(list(logits))
    finally:
        live.trainer.swap_average()


def drift_of(courses: Mapping[str, Course], steps: int) -> Drift | None:
    """Returns the drift over the first steps of all courses; None if there are none."""
    if not steps:
        return None
    return Drift(
        {name: np.array(each.losses[:steps], np.float32) for name, each in courses.items()},
        {name: np.stack(each.parameters[:steps]) for name, each in courses.items()},
    )


def predictions_of(courses: Mapping[str, Course], batches: Sequence[Batch]) -> Predictions | None:
    """Returns the predictions after all courses; None if there are none."""
    if courses[ITSELF].logits is None:
        return None
    images = {str(n): image for n, image in enumerate(i for b in batches for i in b.images)}
    return Predictions(
        digest(images),
        joined([batch.labels for batch in batches]),
        {name: each.logits for name, each in courses.items() if each.logits is not None},
    )
