"""Metrics of an epoch: named values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from isotune.metrics import METRICS
from isotune.printable import html_table

EVERY_EPOCH = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
"""Values that every epoch has, NaN though they may be."""


@dataclass(frozen=True, repr=False)
class EpochMetrics:
    """Metrics of one epoch: a line of ``metrics.jsonl``.

    A checkpoint within an epoch holds those of the epoch so far. Values are attributes, too:
    ``metrics.val_accuracy``.

    Attributes:
        epoch: Counted from 1.
        steps: Number of training steps made so far in the run.
        learning_rate: Learning rate of the epoch's last step.
        values: Values by name. ``train_loss`` and ``train_accuracy`` are means over the epoch's
            images while the weights moved, the loss weighted by ``loss.class_weights``. Of mixed
            images, the class with the largest share counts as the true one in ``train_accuracy``
            or, where an image may have several labels, those above a half do.
            ``val_loss``, ``val_accuracy`` and ``val_`` before each of the spec's metrics are
            those on the validation images after the epoch, NaN if it had no evaluation. With
            ``clip_grad_norm``, ``grad_norm`` is the mean norm of its updates' gradients before
            clipping. Files of other versions may hold others.
        train_seconds: Wall time of training.
        val_seconds: Wall time of validation.
        data_seconds: Part of `train_seconds` spent waiting for images.
        step_ms: Median milliseconds of a training step, without the run's first step; NaN in an
            epoch of one step.
        thresholds: Probability of each class from which on the evaluation predicted it, in label
            order; None without an evaluation, and where an image has one label.
    """

    epoch: int
    steps: int
    learning_rate: float
    values: Mapping[str, float]
    train_seconds: float
    val_seconds: float
    data_seconds: float
    step_ms: float
    thresholds: tuple[float, ...] | None = None

    def __getattr__(self, name: str) -> float:
        values: Mapping[str, float] = vars(self).get("values", {})
        if name in values:
            return values[name]
        raise AttributeError(f"the epoch has no '{name}'; its values are: {', '.join(values)}.")

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {text}" for name, text in self._written())
        return f"EpochMetrics(epoch {self.epoch}: {shown})"

    def _repr_html_(self) -> str:
        rows = [("epoch", str(self.epoch)), ("learning_rate", f"{self.learning_rate:.3g}")]
        return html_table(("", ""), ("left", "right"), [*rows, *self._written()])

    def _written(self) -> list[tuple[str, str]]:
        """Returns names and values as people write them."""
        written = []
        for name, value in self.values.items():
            metric = METRICS.get(name.removeprefix("val_").removeprefix("train_"))
            written.append((name, metric.text(value) if metric else f"{value:.5g}"))
        return written

    def value(self, name: str) -> float:
        """Returns a value; NaN if the epoch does not have it."""
        return self.values.get(name, math.nan)

    @property
    def evaluated(self) -> bool:
        """Whether the model was evaluated after this epoch."""
        return not math.isnan(self.value("val_loss"))

    def numbers(self) -> dict[str, float | None]:
        """Returns all numbers by name, those of ``metrics.jsonl``; None for NaN."""
        apart = ("values", "thresholds")
        items = {name: item for name, item in vars(self).items() if name not in apart}
        start = {name: items.pop(name) for name in ("epoch", "steps", "learning_rate")}
        flat = {**start, **self.values, **items}
        return {name: item if math.isfinite(item) else None for name, item in flat.items()}

    def as_json(self) -> dict[str, Any]:
        """Returns flat plain data, with null for NaN, which JSON does not have."""
        plain = self.numbers()
        return plain if self.thresholds is None else {**plain, "thresholds": [*self.thresholds]}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> EpochMetrics:
        """Reads what :meth:`as_json` of this or another version returned.

        Unknown numbers are kept as values, and anything else unknown is not; missing numbers are
        NaN.

        Raises:
            ValueError: There is no number of an epoch or of its steps.
        """
        numbers: dict[str, Any] = dict.fromkeys(EVERY_EPOCH, math.nan)
        for name, item in plain.items():
            if name == "thresholds":
                continue
            if item is None or (isinstance(item, (int, float)) and not isinstance(item, bool)):
                numbers[name] = math.nan if item is None else item
        apart = ("values", "thresholds")
        own = {f.name: numbers.pop(f.name, math.nan) for f in fields(cls) if f.name not in apart}
        for name in ("epoch", "steps"):
            if not isinstance(own[name], int):
                raise ValueError(f"'{name}' should be a whole number")
        thresholds = plain.get("thresholds")
        return cls(**own, values=numbers, thresholds=tuple(thresholds) if thresholds else None)
