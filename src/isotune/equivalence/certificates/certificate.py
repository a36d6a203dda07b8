"""A certificate: what the comparison of two traces has found, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from isotune.equivalence.traces.json_numbers import Measure
from isotune.equivalence.traces.trace import Side
from isotune.interfaces.tracer import Setting

Verdict = Literal["equal", "equal up to chaos", "differs"]
"""``equal``: the difference of every step is within its yardstick. ``equal up to chaos``: single
steps agree, and what grows afterwards grows as fast between a side and itself. ``differs``: there
is a place where they part."""

PlaceStage = Literal[
    "experiment",
    "batch",
    "start",
    "input",
    "forward",
    "loss",
    "backward",
    "gradient",
    "update",
    "state",
    "compilation",
    "drift",
    "predictions",
]


@dataclass(frozen=True)
class Compared:
    """The difference of a value between two sides, relative to its size.

    Attributes:
        key: The value's name in both traces.
        difference: Relative difference of its samples or, where they miss it, of the whole. Of a
            first step's update: the part that the gradient's difference does not explain.
        yardstick: The larger one of what the two sides differ from themselves.
        allowed: The largest difference that is taken for rounding.
        local: Relative difference where one side's layer runs on the other side's recorded input;
            None where that is not known.
        local_allowed: The largest local difference that is taken for rounding; None without one.
    """

    key: str
    difference: Measure
    yardstick: Measure
    allowed: Measure
    local: Measure | None = None
    local_allowed: Measure | None = None

    @property
    def agrees(self) -> bool:
        """Whether the difference is within what is allowed."""
        return self.difference <= self.allowed


@dataclass(frozen=True)
class Place:
    """Where two sides part.

    Attributes:
        stage: In which stage of a step, or before the first one.
        name: Name of the value: a layer's call, a parameter, a slot; empty for a batch.
        step: The step, from 0; None before the first one and after the last.
        path: Canonical path of the layer; None if there is none.
        kind: The layer's class; None if there is none.
        difference: The relative difference; None for hashes.
        allowed: The largest one that is taken for rounding; None for hashes.
        summaries: For each side: shape, norm, mean, largest value and first samples, as text by
            name.
        settings: The layer's settings for each side, where they differ.
        cause: A likely cause in a sentence; None if no known one fits.
    """

    stage: PlaceStage
    name: str
    step: int | None
    path: str | None = None
    kind: str | None = None
    difference: Measure | None = None
    allowed: Measure | None = None
    summaries: tuple[Mapping[str, str], Mapping[str, str]] | None = None
    settings: tuple[Mapping[str, Setting], Mapping[str, Setting]] | None = None
    cause: str | None = None


@dataclass(frozen=True)
class ComparedStep:
    """One training step of both sides.

    Attributes:
        step: Its number, from 0.
        same_batch: Whether both sides had the same images and labels.
        losses: The losses.
        values: All values that both sides have, in order of execution.
        missing: Names of values that one side does not have, or not in the same shape.
    """

    step: int
    same_batch: bool
    losses: tuple[Measure, Measure]
    values: tuple[Compared, ...]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComparedDrift:
    """How far two sides drift apart, beside how far each drifts from itself.

    Attributes:
        between: Relative difference of the parameters after each step.
        themselves: For each side, by the name of a change, the same between the run and the one
            with the change.
        losses: The losses of both sides.
        allowed: The largest difference after each step that is taken for chaos.
    """

    between: tuple[Measure, ...]
    themselves: tuple[Mapping[str, tuple[Measure, ...]], Mapping[str, tuple[Measure, ...]]]
    losses: tuple[tuple[Measure, ...], tuple[Measure, ...]]
    allowed: tuple[Measure, ...]


@dataclass(frozen=True)
class Flip:
    """An image for which two sides predict different classes.

    Attributes:
        image: Its number among the predicted images, from 0.
        predicted: The class that each side predicts.
        margin: By how much the larger one of both classes' logits exceeds the other, the larger
            margin of both sides.
        noise: Largest difference of these logits between the sides.
    """

    image: int
    predicted: tuple[str, str]
    margin: Measure
    noise: Measure


@dataclass(frozen=True)
class ComparedPredictions:
    """The predictions of both sides.

    Attributes:
        images: Number of images.
        same_images: Whether both sides had the same ones.
        largest_difference: Largest difference of a logit.
        flips: Images that are predicted differently.
        own_flips: For each side, the largest number of images that it predicts differently from
            itself when something changes that ought not to matter.
    """

    images: int
    same_images: bool
    largest_difference: Measure
    flips: tuple[Flip, ...]
    own_flips: tuple[int, int]


@dataclass(frozen=True, repr=False)
class Certificate:
    """What was found.

    Attributes:
        sides: Who was compared.
        verdict: The verdict.
        same_start: Whether all tensors are the same bytes at the start.
        steps: The traced steps.
        drift: How training went on; None if one side has none.
        predictions: The predictions; None if one side has none.
        place: Where the sides part; None if they do not.
        others: Further places, of values that do not follow from the first one.
        notes: Sentences on what was not compared, and what that may hide.
    """

    sides: tuple[Side, Side]
    verdict: Verdict
    same_start: bool
    steps: tuple[ComparedStep, ...]
    drift: ComparedDrift | None = None
    predictions: ComparedPredictions | None = None
    place: Place | None = None
    others: tuple[Place, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        # Reports are made of certificates, so they cannot be imported before this class is there.
        from isotune.equivalence.certificates.report import certificate_text

        return certificate_text(self)

    def _repr_markdown_(self) -> str:
        from isotune.equivalence.certificates.report import certificate_markdown

        return certificate_markdown(self)
