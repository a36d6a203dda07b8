"""The small parts of a spec: dataset, backbone, freezing, early stopping."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from isotune.spec.base import AsTuple, SpecModel, meaning

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Url = Annotated[str, Field(pattern=r"^https?://"), meaning("an http:// or https:// address")]
Digest = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8,64}$"), meaning("8 to 64 digits from 0 to f in quotes")
]


def _as_number(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdecimal() else key


Precision = Literal["fp32", "tf32", "bf16", "fp16"]

Epoch = Annotated[
    int,
    Field(ge=2),
    BeforeValidator(_as_number),
    meaning("the number of an epoch, 2 at least"),
]
"""As a key, where JSON and YAML have text."""


class Splits(SpecModel):
    """Names of the splits that are trained and validated on.

    In format ``folder`` they are folders of the dataset; in ``cifar10`` there are ``train`` and
    ``test``, and ``val`` means the latter.
    """

    train: str = "train"
    val: str = "val"


class DatasetSpec(SpecModel):
    """Which images.

    Attributes:
        format: ``folder``: one folder per split, in it one per class; ``cifar10``: the files
            of CIFAR-10's binary version.
        path: absolute, relative to the spec's file or the working directory, or under
            ``$ISOTUNE_HOME/datasets``.
        url: where to download an archive of it from when it is not there.
        sha256: what the archive's SHA-256 begins with, eight digits at least.
        splits: names of the splits.
        broken: what to do about images that cannot be read: stop, or leave them out.
    """

    format: Literal["folder", "cifar10"] = "folder"
    path: Annotated[str, Field(min_length=1)]
    url: Url | None = None
    sha256: Digest | None = None
    splits: Splits = Splits()
    broken: Literal["error", "skip"] = "error"


class BackboneSpec(SpecModel):
    """Which pretrained model.

    Attributes:
        name: a name of ``isotune backbones``.
        weights: ``imagenet`` (or another published name), ``none``, or the path of a file:
            absolute, relative to the spec's file or the working directory, or under
            ``$ISOTUNE_HOME/weights``.
        url: where to download the file of `weights` from when it is not there; it is kept
            under that name in ``$ISOTUNE_HOME/weights``.
        sha256: what the SHA-256 of that download begins with, eight digits at least.
    """

    name: str
    weights: Annotated[str, Field(min_length=1)] = "imagenet"
    url: Url | None = None
    sha256: Digest | None = None


def _as_list(patterns: Any) -> Any:
    return [patterns] if isinstance(patterns, str) else patterns


Patterns = Annotated[list[str], Field(min_length=1), BeforeValidator(_as_list)]


class FreezeSpec(SpecModel):
    """What does not train.

    Attributes:
        parameters: ``none``, ``backbone`` (all but the head), or patterns: names of stages
            (``stem``, ``stage1``) and patterns over canonical parameter names: ``layer1``
            (everything under it), ``*.bias``.
        batch_norm: ``eval``: frozen BatchNorm runs on its stored statistics and keeps them;
            ``train``: it goes on updating them, as the classic tutorials do.
        unfreeze: from which epoch on (counted from 1) what is released: a pattern, several, or
            ``all``.
    """

    parameters: Literal["none", "backbone"] | Annotated[list[str], Field(min_length=1)] = "none"
    batch_norm: Literal["eval", "train"] = "eval"
    unfreeze: dict[Epoch, Literal["all"] | Patterns] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _nothing_to_unfreeze(self) -> FreezeSpec:
        if self.unfreeze and self.parameters == "none":
            raise ValueError("unfreeze needs something frozen, but parameters is 'none'")
        return self


class NormalizationSpec(SpecModel):
    """Per-channel mean and standard deviation (R, G, B), in units of full scale."""

    mean: Annotated[tuple[Finite, Finite, Finite], AsTuple]
    std: Annotated[tuple[Positive, Positive, Positive], AsTuple]


Monitor = Literal["val_accuracy", "val_loss"]


class EarlyStopping(SpecModel):
    """Ends the run when `monitor` has not got better for `patience` epochs.

    Attributes:
        min_delta: how much better counts, in units of the monitored metric.
    """

    monitor: Monitor = "val_loss"
    patience: Annotated[int, Field(ge=1)] = 5
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class EvaluationSpec(SpecModel):
    """In which epochs the model is evaluated: from `start` on in every `every`-th.

    The last epoch always is, so that every run has a best one. Early stopping counts the
    epochs that are evaluated.

    Attributes:
        start: the first epoch that is, counted from 1.
    """

    every: Annotated[int, Field(ge=1)] = 1
    start: Annotated[int, Field(ge=1)] = 1

    def due(self, epoch: int, epochs: int) -> bool:
        """Tells whether `epoch`, from 1, is evaluated in a run of `epochs`."""
        counted = epoch >= self.start and (epoch - self.start) % self.every == 0
        return counted or epoch == epochs


WeightsFile = Annotated[
    str,
    Field(pattern=r"^\w[\w .-]*\.(safetensors|pth|ckpt)$"),
    meaning("the name of a file, without folders, that ends in .safetensors, .pth or .ckpt"),
]


class CheckpointSpec(SpecModel):
    """When a run's state is saved, and what is kept of it. The best epoch's always is.

    Attributes:
        monitor: the best epoch is that with the first best value of it.
        every_epochs: after every how many epochs a checkpoint is made; None makes one after the
            best and the last epoch alone.
        every_steps: after every how many training steps of the run a checkpoint is made, or
            with the next update where they accumulate; None makes none for their number.
        every_minutes: after how many minutes without a checkpoint one is made, with the next
            update; None makes none for the time.
        keep: how many stay, the newest; the best epoch's stays besides.
        save_best_as: a file in the run folder that always holds the best weights, in the
            format that its suffix tells: ``best.safetensors``, ``best.pth``, ``best.ckpt``.
    """

    monitor: Monitor = "val_accuracy"
    every_epochs: Annotated[int, Field(ge=1)] | None = 1
    every_steps: Annotated[int, Field(ge=1)] | None = None
    every_minutes: Annotated[float, Field(gt=0)] | None = None
    keep: Annotated[int, Field(ge=1)] = 2
    save_best_as: WeightsFile | None = None
