"""Which fields of a spec may change when a run is resumed, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isotune.errors import SpecError
from isotune.interfaces.metrics import EpochMetrics
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.load import dump_spec
from isotune.spec.schedule import Moment

MAY_CHANGE = (
    "name",
    "dataset.path",
    "dataset.broken",
    "dataset.duplicates",
    "epochs",
    "schedule.epochs",
    "eval_batch_size",
    "workers",
    "evaluation",
    "metrics",
    "early_stopping",
    "checkpoint.every_epochs",
    "checkpoint.every_steps",
    "checkpoint.every_minutes",
    "checkpoint.keep",
    "checkpoint.save_best_as",
    "cache.images",
    "cache.memory",
    "cache.disk",
    "precision",
    "compile",
    "reduction",
    "observers",
)
"""Fields that leave the experiment the same or that another machine may need to change, with all
fields inside them. A schedule that depends on the number of epochs follows the new number, unless
``schedule.epochs`` keeps the old one."""


def check_changes(before: ExperimentSpec, after: ExperimentSpec) -> None:
    """Checks that a resumed run stays the same experiment.

    Raises:
        SpecError: a field has changed that may not change.
    """
    for name, old, new in differences(before, after, MAY_CHANGE):
        raise SpecError(
            f"{name}: is {new!r}, but the run was started with {old!r}: it would be another"
            f" experiment. What may change: {', '.join(MAY_CHANGE)}."
        )


def differences(
    before: ExperimentSpec, after: ExperimentSpec, ignored: Sequence[str] = ()
) -> Iterator[tuple[str, Any, Any]]:
    """Yields the names of fields that differ, with both values, sorted by name.

    Args:
        before: A spec.
        after: Another one.
        ignored: Names of fields that may differ, with all fields inside them.
    """
    old, new = fields_of(dump_spec(before)), fields_of(dump_spec(after))
    for name in sorted(old.keys() | new.keys()):
        within = any(name == field or name.startswith(f"{field}.") for field in ignored)
        if old.get(name) != new.get(name) and not within:
            yield name, old.get(name), new.get(name)


def schedule_change(
    before: ExperimentSpec,
    after: ExperimentSpec,
    history: Sequence[EpochMetrics],
    step: int,
    steps_per_epoch: int,
    last: float,
) -> str | None:
    """Returns a sentence on a learning rate that leaves its old schedule, or None.

    Args:
        before: The spec so far.
        after: The spec from now on.
        history: Metrics of the epochs that have ended.
        step: Number of the next training step, from 0 over the whole run.
        steps_per_epoch: Number of training steps per epoch.
        last: Learning rate of the step before.
    """
    old, new = (
        spec.schedule.rates(
            Moment(spec.optimizer.lr, step, steps_per_epoch, spec.epochs, history)
        ).learning_rate
        for spec in (before, after)
    )
    if math.isclose(old, new):
        return None
    lengths = [spec.schedule.length(spec.epochs) for spec in (before, after)]
    sentence = (
        f"the learning rate goes from {last:.3g} to {new:.3g}, since its schedule is now"
        f" {lengths[1]} epochs long instead of {lengths[0]}"
    )
    if "epochs" not in type(after.schedule).model_fields:
        return f"{sentence}."
    return (
        f"{sentence}; --set schedule.epochs={lengths[0]} would keep its course, with {old:.3g} now."
    )


def fields_of(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a spec by the names of their fields, such as ``optimizer.lr``."""
    fields: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        fields |= fields_of(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return fields
