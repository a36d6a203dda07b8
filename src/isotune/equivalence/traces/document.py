"""What the JSON document of a trace's file holds; docs/traces.md describes it.

Values are never coerced. Keys that are not named here, of a later version, are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from isotune.equivalence.traces.json_numbers import Measure, from_text
from isotune.equivalence.traces.sampling import Values
from isotune.equivalence.traces.trace import ITSELF, STAGES, Drift, Predictions, Side, TracedStep
from isotune.interfaces.tracer import Layer, Setting
from isotune.printable import printable
from isotune.runs.schema import ONE_FAULT, Count, Few, FileModel, Many, each_once
from isotune.spec.base import Meaning

FORMAT: Literal[1] = 1
"""Version of the document."""

LONGEST_NAME = 1_000
"""Number of characters that a name may have."""


def _shown_as_it_is(text: str) -> str:
    if printable(text) != text:
        raise ValueError("should be printable text")
    return text


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("should be at least 0")
    return value


def _with_itself(changes: list[str]) -> list[str]:
    if ITSELF not in each_once(changes):
        raise ValueError(f"should hold {ITSELF}")
    return changes


Size = Annotated[Measure, AfterValidator(_not_negative)]
Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_shown_as_it_is)]
Dimensions = Annotated[list[Count], Field(max_length=16)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), Meaning("a SHA-256 in hexadecimal")]
Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
Changes = Annotated[list[Name], Field(max_length=100), AfterValidator(_with_itself)]
Numbers = Annotated[list[Whole], Field(max_length=100), ONE_FAULT]
SettingValue = Annotated[bool | Whole | float | Name | Numbers, BeforeValidator(from_text)]


class SidePart(FileModel):
    """See :class:`isotune.equivalence.traces.trace.Side`."""

    backend: Name
    device: Name
    precision: Name
    compile: bool
    processes: Annotated[Count, Field(ge=1)]
    threads: Count
    versions: Annotated[dict[Name, Name], Few]
    machine: Annotated[dict[Name, Name], Few]

    def side(self) -> Side:
        """Returns the side."""
        return Side(**{name: getattr(self, name) for name in type(self).model_fields})


class LayerPart(FileModel):
    """See :class:`isotune.interfaces.tracer.Layer`."""

    path: Name
    kind: Name
    settings: Annotated[dict[Name, SettingValue], Few] = Field(default={})
    leaf: bool

    @classmethod
    def of(cls, layer: Layer) -> LayerPart:
        """Returns what the file holds of a layer."""
        settings = {name: _plain(value) for name, value in layer.settings.items()}
        return cls(path=layer.path, kind=layer.kind, settings=settings, leaf=layer.leaf)

    def layer(self) -> Layer:
        """Returns the layer."""
        settings = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.settings.items()
        }
        return Layer(self.path, self.kind, settings, self.leaf)


class ValuesPart(FileModel):
    """See :class:`isotune.equivalence.traces.sampling.Values`; without the samples."""

    key: Name
    shape: Dimensions
    norm: Size
    mean: Measure
    largest: Size

    @classmethod
    def of(cls, key: str, values: Values) -> ValuesPart:
        """Returns what the document holds of an array, by its key."""
        return cls(
            key=key,
            shape=list(values.shape),
            norm=values.norm,
            mean=values.mean,
            largest=values.largest,
        )

    def values(self, samples: NDArray[np.float32]) -> Values:
        """Returns what is kept of the array."""
        return Values(tuple(self.shape), self.norm, self.mean, self.largest, samples)


def _each_key_once(values: list[ValuesPart]) -> list[ValuesPart]:
    each_once([value.key for value in values])
    return values


ValuesParts = Annotated[
    list[ValuesPart], Field(max_length=100_000), ONE_FAULT, AfterValidator(_each_key_once)
]


class StepPart(FileModel):
    """:class:`isotune.equivalence.traces.trace.TracedStep`; ``whole`` names the file's arrays."""

    step: Count
    batch: Digest
    learning_rate: Measure
    loss: Measure
    watched: bool
    same_logits: bool = False
    values: ValuesParts
    yardsticks: Annotated[dict[Name, Annotated[dict[Name, Size], Many]], Few] = Field(default={})
    whole: Annotated[dict[Name, Name], Many] = Field(default={})

    runs: ValuesParts = Field(default=[])
    run_yardsticks: Annotated[dict[Name, Size], Many] = Field(default={})

    @field_validator("values")
    @classmethod
    def _check_values(cls, values: list[ValuesPart]) -> list[ValuesPart]:
        for value in values:
            if value.key.partition("/")[0] not in STAGES:
                raise ValueError(f"should have keys that begin with one of {', '.join(STAGES)}")
        return values

    @classmethod
    def of(cls, step: TracedStep, whole: Mapping[str, str]) -> StepPart:
        """Returns what the document holds of a step.

        Args:
            step: The step.
            whole: The file's name of each whole array, by key.
        """
        return cls(
            step=step.step,
            batch=step.batch,
            learning_rate=step.learning_rate,
            loss=step.loss,
            watched=step.watched,
            same_logits=step.same_logits,
            values=[ValuesPart.of(*each) for each in step.values.items()],
            yardsticks={name: dict(each) for name, each in step.yardsticks.items()},
            whole=dict(whole),
            runs=[ValuesPart.of(*each) for each in step.runs.items()],
            run_yardsticks=dict(step.run_yardsticks),
        )


class DriftPart(FileModel):
    """Which changes :class:`isotune.equivalence.traces.trace.Drift` has, itself among them."""

    changes: Changes

    @classmethod
    def of(cls, drift: Drift | None) -> DriftPart | None:
        """Returns what the document holds of a drift."""
        return None if drift is None else cls(changes=list(drift.losses))


class PredictionsPart(FileModel):
    """:class:`isotune.equivalence.traces.trace.Predictions` without its arrays."""

    images: Digest
    changes: Changes

    @classmethod
    def of(cls, made: Predictions | None) -> PredictionsPart | None:
        """Returns what the document holds of predictions."""
        return None if made is None else cls(images=made.images, changes=list(made.logits))


class TraceDocument(FileModel):
    """A trace without its arrays: see :class:`isotune.equivalence.traces.trace.Trace`.

    Attributes:
        format: Version of the document.
        isotune: Version of Isotune that wrote the file.
        sha256: SHA-256 of the bytes of all arrays except whole ones, in the order of
            their sorted names.
    """

    format: Literal[1] = FORMAT
    isotune: Name
    side: SidePart
    experiment: dict[str, Any]
    classes: Annotated[list[str], Field(min_length=1), ONE_FAULT]
    start: Annotated[dict[Name, Digest], Many]
    layers: Annotated[list[LayerPart], Field(max_length=100_000), ONE_FAULT]
    steps: Annotated[list[StepPart], Field(min_length=1, max_length=1_000), ONE_FAULT]
    drift: DriftPart | None = None
    predictions: PredictionsPart | None = None
    sha256: Digest

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: list[str]) -> list[str]:
        return each_once(classes)

    @field_validator("layers")
    @classmethod
    def _check_layers(cls, layers: list[LayerPart]) -> list[LayerPart]:
        each_once([layer.path for layer in layers])
        return layers

    @field_validator("steps")
    @classmethod
    def _check_steps(cls, steps: list[StepPart]) -> list[StepPart]:
        if any(step.step != number for number, step in enumerate(steps)):
            raise ValueError(f"should hold the steps from 0 to {len(steps) - 1}, each once")
        return steps


def _plain(value: Setting) -> bool | int | float | str | list[int]:
    return list(value) if isinstance(value, tuple) else value
