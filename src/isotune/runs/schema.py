"""What the JSON files of a run folder hold; docs/checkpoints.md describes them.

Values are never coerced. Keys that are not named here, of a later version or of an earlier one,
are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from isotune.interfaces.metrics import EpochMetrics
from isotune.spec.base import Meaning

FORMAT, AVERAGED_FORMAT = 2, 3
"""Versions of the checkpoint format: without and with averages of the weights."""

EARLIER_KEYS = {"pictures": "images", "segments": "lineage", "newest_loss": "last_loss"}
"""Keys of Isotune 0.1.0, and what they are called since."""

MOST_KEYS = 1_000
"""Bound on the keys of a mapping, known and unknown."""

LARGEST = 1e300
"""Bound of all numbers, so that sums and differences of two of them are finite."""

Count = Annotated[int, Field(ge=0, le=1 << 53)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Seconds = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1e12)]
RandomKey = Annotated[int, Field(ge=0, lt=1 << 63)]
Shape = Annotated[list[Count], Field(max_length=64)]
Probability = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
ClassWeight = Annotated[float, Field(allow_inf_nan=False, gt=0, le=3.5e38)]
NAME = r"(epoch-[0-9]{4,12}|step-[0-9]{8,16})"
"""Pattern of the names of checkpoints' folders; the latter are within an epoch."""

CheckpointName = Annotated[
    str, Field(pattern=f"^{NAME}$"), Meaning("a name such as epoch-0003 or step-00001560")
]


class FileModel(BaseModel):
    """A part of a file: strict about the keys that it names, open for others."""

    model_config = ConfigDict(strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _with_current_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if len(values) > MOST_KEYS:
            raise ValueError(f"should hold at most {MOST_KEYS} keys")
        earlier = {key: EARLIER_KEYS[key] for key in values if key in EARLIER_KEYS}
        renamed = {key: name for key, name in earlier.items() if name in cls.model_fields}
        return (
            {renamed.get(key, key): value for key, value in values.items()} if renamed else values
        )


def _at_most(number: int) -> BeforeValidator:
    """Annotation of a mapping: refuses a larger one before its values are looked at."""

    def check(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > number:
            raise ValueError(f"should hold at most {number} values")
        return value

    return BeforeValidator(check)


Few, Many = _at_most(100), _at_most(100_000)

ONE_FAULT = Field(fail_fast=True)
"""Annotation of a list: only its first wrong value is reported."""


def each_once(names: list[str]) -> list[str]:
    """Returns `names`.

    Raises:
        ValueError: A name occurs twice.
    """
    if len(set(names)) != len(names):
        raise ValueError("should hold each name once")
    return names


def one_each(
    values: list[float] | None, classes: Sequence[str], what: str = "weight"
) -> list[float] | None:
    """Returns `values`.

    Raises:
        ValueError: There are values, but not as many as classes.
    """
    if values is not None and len(values) != len(classes):
        raise ValueError(f"should hold a {what} for each of the {len(classes)} classes")
    return values


def epoch_name(epoch: int) -> str:
    """Returns the name of the folder of the checkpoint after an epoch, counted from 1."""
    return f"epoch-{epoch:04d}"


class IndexFile(FileModel):
    """``checkpoints/index.json``."""

    best: CheckpointName | None = None
    kept: Annotated[list[CheckpointName], ONE_FAULT]


def _bounded(value: Any) -> Any:
    if isinstance(value, (int, float)) and not -LARGEST <= value <= LARGEST:
        raise ValueError("should be a finite number or null")
    return value


class MetricsLine(FileModel):
    """An epoch's metrics, as :meth:`EpochMetrics.as_json` writes them: null stands for NaN.

    Other keys are kept: they are metrics of the spec, or of another version.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_bounded)]]

    epoch: Annotated[Count, Field(ge=1)]
    steps: Count
    learning_rate: Number | None = None
    train_loss: Number | None = None
    train_accuracy: Number | None = None
    val_loss: Number | None = None
    val_accuracy: Number | None = None
    train_seconds: Seconds | None = None
    val_seconds: Seconds | None = None
    data_seconds: Seconds | None = None
    step_ms: Seconds | None = None
    thresholds: Annotated[list[Probability], ONE_FAULT] | None = None

    @classmethod
    def of(cls, metrics: EpochMetrics) -> MetricsLine:
        """Returns the line of an epoch's metrics."""
        return cls.model_validate(metrics.as_json())

    def metrics(self) -> EpochMetrics:
        """Returns the epoch's metrics."""
        return EpochMetrics.from_json(self.model_dump())


class LineageEntry(FileModel):
    """Who trained from a step on."""

    step: Count
    backend: str
    device: str


class EpochSoFar(FileModel):
    """Sums from which the metrics of the epoch in progress go on."""

    epoch: Annotated[Count, Field(ge=1)]
    steps: Annotated[Count, Field(ge=1)]
    samples: Annotated[Count, Field(ge=1)]
    loss: Number
    weight: Annotated[Number, Field(gt=0)] | None = None
    correct: Count
    answers: Annotated[Count, Field(ge=1)] | None = None
    grad_norm: Number = 0.0
    updates: Count = 0
    learning_rate: Number
    last_loss: Number | None
    seconds: Seconds
    data_seconds: Seconds


class Manifest(FileModel):
    """``checkpoint.json``: everything of a checkpoint except its tensors."""

    spec: dict[str, Any]
    backend: str
    lineage: Annotated[list[LineageEntry], ONE_FAULT]
    classes: Annotated[list[str], Field(min_length=1), ONE_FAULT]
    class_weights: Annotated[list[ClassWeight], ONE_FAULT] | None
    images: Annotated[Count, Field(ge=1)]
    epoch: Annotated[Count, Field(ge=1)]
    step: Count
    step_in_epoch: Count | None
    random: Annotated[dict[str, RandomKey], Few]
    metrics: MetricsLine
    epoch_so_far: EpochSoFar | None
    history: Annotated[list[MetricsLine], ONE_FAULT]
    best: Annotated[Count, Field(ge=1)] | None
    weights: Literal["model", "average"] = "model"
    tensors: Annotated[dict[str, Annotated[dict[str, Shape], Many]], Few] = {}
    sha256: Annotated[dict[str, str], Few] = {}

    @property
    def name(self) -> str:
        """Name of the checkpoint's folder."""
        if self.epoch_so_far is None:
            return epoch_name(self.epoch)
        return f"step-{self.step:08d}"

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: list[str]) -> list[str]:
        return each_once(classes)

    @field_validator("class_weights")
    @classmethod
    def _check_weights(
        cls, weights: list[float] | None, info: ValidationInfo
    ) -> list[float] | None:
        return one_each(weights, info.data.get("classes", ()))

    @field_validator("metrics")
    @classmethod
    def _check_thresholds(cls, metrics: MetricsLine, info: ValidationInfo) -> MetricsLine:
        one_each(metrics.thresholds, info.data.get("classes", ()), "threshold")
        return metrics

    @field_validator("history")
    @classmethod
    def _check_history(cls, history: list[MetricsLine], info: ValidationInfo) -> list[MetricsLine]:
        epoch, so_far = info.data.get("epoch", 0), info.data.get("epoch_so_far")
        if so_far is not None and so_far.epoch != epoch:
            raise ValueError(f"should be of the epochs before {so_far.epoch}, but epoch is {epoch}")
        ended = epoch if so_far is None else epoch - 1
        if len(history) != ended or any(each.epoch != n for n, each in enumerate(history, 1)):
            raise ValueError(f"should hold the epochs from 1 to {ended}, each once")
        return history

    @field_validator("best")
    @classmethod
    def _check_best(cls, best: int | None, info: ValidationInfo) -> int | None:
        ended = len(info.data.get("history", ()))
        if best is not None and best > ended:
            raise ValueError(f"should be one of the {ended} epochs of history")
        return best


class Images(FileModel):
    """Numbers of images by split; ``all`` is that of images in no split yet."""

    train: Count | None = None
    val: Count | None = None
    test: Count | None = None
    all: Count | None = None


class Parameters(FileModel):
    """Numbers of parameters."""

    all: Count | None = None
    trainable: Count | None = None


class Timings(FileModel):
    """How long a run took: see :func:`isotune.experiment.run_summary.final_summary`."""

    total: Seconds | None = None
    first_step: Seconds | None = None
    step_ms: Seconds | None = None


class Summary(FileModel):
    """``summary.json``; without the file, that of a run in progress."""

    state: Literal["unfinished", "finished", "stopped", "failed"] = "unfinished"
    stopped_by: str | None = None
    backend: str | None = None
    device: str | None = None
    versions: Annotated[dict[str, str], Many] = {}
    epochs: Count | None = None
    images: Images = Images()
    skipped: Images = Images()
    parameters: Parameters = Parameters()
    best: MetricsLine | None = None
    timings: Timings = Timings()
