"""What trackers show of a run: its settings and metrics, as flat names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from isotune.interfaces.events import RunStarted
from isotune.interfaces.metrics import EpochMetrics
from isotune.spec.load import dump_spec
from isotune.spec.short import short

Setting = bool | int | float | str

STEP_LOSS = "step_loss"
"""What the loss of a single training step is called, beside the metrics of epochs."""


ALWAYS = ("optimizer", "schedule.name", "epochs", "batch_size", "seed", "precision")
"""Fields of a spec that are shown even where they have their defaults, as runs often vary them."""


def settings(event: RunStarted) -> dict[str, Setting]:
    """Returns the settings that differ from the defaults, and where the run computes."""
    given = short(event.spec)
    for name in ("name", "observers", "isotune"):
        given.pop(name, None)
    every = dict(_flat(dump_spec(event.spec), ""))
    usual = {n: value for n, value in every.items() if n in ALWAYS or n.split(".")[0] in ALWAYS}
    return {**usual, **dict(_flat(given, "")), "backend": event.backend, "device": event.device}


def numbers(metrics: EpochMetrics) -> dict[str, float]:
    """Returns the finite numbers of an epoch, by the names of ``metrics.jsonl``."""
    return {name: float(value) for name, value in metrics.numbers().items() if value is not None}


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Setting]]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}.")
        elif isinstance(value, (bool, int, float, str)):
            yield path, value
        elif value is not None:
            yield path, str(value)
