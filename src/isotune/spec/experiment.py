"""The experiment spec: everything a run is decided by, whatever the backend."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from isotune.spec.base import Shorthand, SpecModel, meaning
from isotune.spec.cache import CacheSpec
from isotune.spec.head import AnyHead, HeadSpec, LinearHeadSpec
from isotune.spec.loss import LossSpec
from isotune.spec.optimizer import OptimizerSpec
from isotune.spec.parts import (
    BackboneSpec,
    CheckpointSpec,
    DatasetSpec,
    EarlyStopping,
    EvaluationSpec,
    FreezeSpec,
    NormalizationSpec,
    Precision,
)
from isotune.spec.schedule import ConstantSchedule, ScheduleSpec
from isotune.spec.transforms import Pipeline, output_size


class TransformsSpec(SpecModel):
    """What is done to an image before it joins a batch; None takes the backbone's usual.

    Attributes:
        train: for training: by default ``random_resized_crop`` to the backbone's input size
            and ``random_horizontal_flip``.
        val: for everything else: by default ``resize`` and ``center_crop``.
    """

    train: Pipeline | None = None
    val: Pipeline | None = None

    @field_validator("train", "val")
    @classmethod
    def _fixed_size(cls, pipeline: Any) -> Any:
        if pipeline is not None and output_size(pipeline) is None:
            raise ValueError(
                "should end in images of one size: add center_crop, random_crop,"
                " random_resized_crop or resize: {size: [height, width]}"
            )
        return pipeline


class ExperimentSpec(SpecModel):
    """An experiment.

    Attributes:
        name: names the run folder: letters, digits, ``.``, ``_`` and ``-``.
        batch_size: images a training step.
        epochs: passes over the training images.
        seed: decides order, augmentation, initial values and dropout.
        eval_batch_size: images an evaluation step; None takes what is good for the device: 8 on
            a CPU, 64 elsewhere.
        drop_last: leaves out a short last training batch.
        workers: decoding threads; None chooses.
        normalization: None takes what the backbone's weights were trained with.
        precision: what the model computes in, in training and evaluation: ``fp32`` (on GPUs
            without TF32, too), ``tf32`` (convolutions and matrix products may round their inputs
            to TF32), ``bf16`` or ``fp16`` (mixed precision). Parameters, loss, optimizer and
            checkpoints are float32 in all of them.
        compile: compiles the model (``torch.compile``), which takes a while before the first
            step. MindSpore compiles every step whatever this says.
        accumulate: batches an update: the weights move after every so many training steps, and
            at the end of an epoch, by the mean over all their samples. Everything else goes on
            counting batches as steps; an update has the learning rate of its first.
    """

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        meaning("text of letters, digits, '.', '_' and '-', as it names the run folder"),
    ]
    dataset: DatasetSpec
    transforms: TransformsSpec = TransformsSpec()
    batch_size: Annotated[int, Field(ge=1)]
    backbone: Annotated[BackboneSpec, Shorthand("name")]
    loss: Annotated[LossSpec, Shorthand("name")] = LossSpec()
    head: AnyHead = LinearHeadSpec()
    freeze: Annotated[FreezeSpec, Shorthand("parameters", ("string", "array"))] = FreezeSpec()
    optimizer: Annotated[OptimizerSpec, Shorthand("name")]
    schedule: ScheduleSpec = ConstantSchedule()
    epochs: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    eval_batch_size: Annotated[int, Field(ge=1)] | None = None
    drop_last: bool = False
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    normalization: NormalizationSpec | None = None
    precision: Precision = "fp32"
    compile: bool = False
    accumulate: Annotated[int, Field(ge=1)] = 1
    evaluation: EvaluationSpec = EvaluationSpec()
    early_stopping: EarlyStopping | None = None
    checkpoint: CheckpointSpec = CheckpointSpec()
    cache: CacheSpec = CacheSpec()

    @field_validator("head")
    @classmethod
    def _a_single_output_is_a_sigmoid(cls, head: HeadSpec, info: ValidationInfo) -> HeadSpec:
        loss = info.data.get("loss")
        if head.outputs == "single" and loss is not None and loss.name != "binary_cross_entropy":
            raise ValueError("a single output needs loss: binary_cross_entropy")
        return head
