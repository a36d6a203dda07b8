"""The experiment spec: everything that decides a run, whatever the backend."""

from __future__ import annotations

from html import escape
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationInfo, field_validator, model_validator

from isotune.spec.backbone import BackboneSpec
from isotune.spec.base import Meaning, Shorthand, SpecModel
from isotune.spec.cache import CacheSpec
from isotune.spec.checkpoint import CheckpointSpec, EarlyStopping, EvaluationSpec
from isotune.spec.dataset import AnyDataset
from isotune.spec.ema import EmaSpec
from isotune.spec.freeze import FreezeSpec
from isotune.spec.head import AnyHead, HeadSpec, LinearHeadSpec
from isotune.spec.loss import LossSpec
from isotune.spec.metrics import (
    MULTI_LABEL,
    MetricName,
    ThresholdRule,
    check_monitor,
    metrics_for,
)
from isotune.spec.mixing import MixingSpec
from isotune.spec.observer import AnyObserver
from isotune.spec.optimizer import OptimizerSpec
from isotune.spec.schedule import AnySchedule, ScheduleSpec
from isotune.spec.schedules.constant import ConstantSchedule
from isotune.spec.transforms import Pipeline, last_of_unknown_size, output_size
from isotune.spec.values import NormalizationSpec, Positive, Precision, Reduction, Sampler
from isotune.spec.version import VERSION


class TransformsSpec(SpecModel):
    """Pipelines that turn an image into one of a fixed size.

    Attributes:
        train: For training. null takes ``random_resized_crop`` to the backbone's input size and
            ``random_horizontal_flip``.
        val: For evaluation and prediction. null takes the backbone's usual ``resize`` and
            ``center_crop``.
    """

    train: Pipeline | None = None
    val: Pipeline | None = None

    @field_validator("train", "val")
    @classmethod
    def _fixed_size(cls, pipeline: Any, info: ValidationInfo) -> Any:
        if pipeline is not None and output_size(pipeline) is None:
            lost = last_of_unknown_size(pipeline)
            why = ""
            if lost is not None:
                name = getattr(pipeline[lost], "name", "a transform")
                why = f", and {name} at {info.field_name}.{lost} makes their sizes differ"
            raise ValueError(
                f"should end in images of one size{why}: add center_crop, letterbox, random_crop,"
                " random_resized_crop or resize: {size: [height, width]}"
            )
        return pipeline


class ExperimentSpec(SpecModel):
    """An experiment.

    Attributes:
        isotune: Version of the spec: what its keys mean. Leaving it out means 1. A later Isotune
            reads specs of all versions so far.
        name: Name of the experiment and, with backend and time, of its run folder.
        dataset: Which images.
        transforms: How images are cropped, resized and augmented.
        sampler: Which training images an epoch draws. ``shuffled``: each image once; ``balanced``:
            every class equally often, and as many draws as there are images. Classes take turns,
            and a class's images are drawn in a shuffled cycle that continues in the next epoch, so
            that no image is drawn again before every other one of its class. An image drawn
            several times in an epoch is augmented anew each time, unless ``cache.views`` limits
            its views.
        batch_size: Number of images in a training step, of all processes together.
        shards: Number of parts that every training batch is divided into, by position. Batch
            statistics of BatchNorm layers and dropout masks belong to a shard, and running
            statistics are the mean over shards. Which process computes a shard changes nothing,
            and neither does the number of processes, which divides that of shards or is divided
            by it.
        reduction: How gradients of shards are added: ``exact`` adds them in the order of the
            shards, so that one process and several come to the same bytes if they compute whole
            shards; ``fast`` leaves the order to the framework's own all-reduce.
        mixing: How training images are mixed with each other; null never mixes any.
        backbone: Which pretrained model.
        loss: What training minimizes.
        head: What replaces the model's classifier.
        freeze: Which parameters do not train.
        optimizer: How parameters are updated.
        schedule: How the learning rate changes and, with ``one_cycle``, the momentum.
        ema: Exponential moving averages of the weights; null keeps none. With averages, every
            evaluation, the best epoch and everything that is made of the run are of them.
        epochs: Number of passes over the training images.
        seed: Decides order, augmentation, mixing, initial values and dropout.
        eval_batch_size: Number of images in an evaluation step; null takes what suits the device:
            8 on a CPU, 64 elsewhere.
        drop_last: Whether to leave out a smaller last training batch.
        workers: Number of decoding threads of a process; null takes the number of CPUs, shared by
            the processes of a machine, up to 16.
        normalization: Mean and standard deviation by channel; null takes those that the
            backbone's weights were trained with.
        precision: What the model computes in, in training and evaluation: ``fp32`` (also on GPUs,
            without TF32), ``tf32`` (convolutions and matrix products may round their inputs to
            TF32), ``bf16`` or ``fp16`` (mixed precision). Parameters, loss, optimizer and
            checkpoints are float32 in all of them.
        compile: Whether to compile the model (``torch.compile``), which takes a while before the
            first step. MindSpore always compiles.
        accumulate: Number of batches per update. Parameters are updated after that many training
            steps, and at the end of an epoch, with the mean gradient over all their images.
            Everything else still counts batches as steps; an update uses the learning rate of its
            first batch.
        clip_grad_norm: Largest norm of an update's gradient, over all trainable parameters
            together: a larger gradient is scaled down to it (PyTorch's ``clip_grad_norm_``). null
            does not clip. With it, ``grad_norm`` is a metric of every epoch: the mean of the norms
            of its updates before clipping.
        evaluation: In which epochs the model is evaluated.
        metrics: What every evaluation of an epoch computes in addition to loss and accuracy; the
            ``monitor`` of ``checkpoint``, ``early_stopping`` and a ``schedule`` may be one of them.
            Where an image may have several labels, ``mean_average_precision`` always is, and
            ``checkpoint.monitor`` is ``val_mean_average_precision`` unless it is given.
        threshold: From which probability on a class is predicted where an image may have several
            labels: ``max_f1``, the default, chooses for each class, in each evaluation, the
            threshold with the largest F1 on the validation images; a number is the threshold of
            all classes. null where an image has one label.
        early_stopping: When to stop before the last epoch; null never does.
        checkpoint: When the state is saved, and what is kept.
        cache: What is kept to save time.
        observers: What logs the run: ``csv``, ``tensorboard``, ``mlflow``, ``wandb``, and those of
            plugins; with options as ``{mlflow: {experiment: bees}}``. They change nothing in the
            run.
    """

    isotune: Annotated[int, Field(ge=VERSION, le=VERSION), Meaning(str(VERSION))] = VERSION
    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
        Meaning("text of letters, digits, '.', '_' and '-', as it names the run folder"),
    ]
    dataset: Annotated[AnyDataset, Shorthand("path")]
    transforms: TransformsSpec = TransformsSpec()
    sampler: Sampler = "shuffled"
    batch_size: Annotated[int, Field(ge=1)]
    shards: Annotated[int, Field(ge=1)] = 1
    reduction: Reduction = "exact"
    mixing: MixingSpec | None = None
    backbone: Annotated[BackboneSpec, Shorthand("name")]
    loss: Annotated[LossSpec, Shorthand("name"), Field(validate_default=True)] = LossSpec()
    head: AnyHead = LinearHeadSpec()
    freeze: Annotated[FreezeSpec, Shorthand("parameters", ("string", "array"))] = FreezeSpec()
    optimizer: Annotated[OptimizerSpec, Shorthand("name")]
    schedule: AnySchedule = ConstantSchedule()
    ema: EmaSpec | None = None
    epochs: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    eval_batch_size: Annotated[int, Field(ge=1)] | None = None
    drop_last: bool = False
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    normalization: NormalizationSpec | None = None
    precision: Precision = "fp32"
    compile: bool = False
    accumulate: Annotated[int, Field(ge=1)] = 1
    clip_grad_norm: Positive | None = None
    evaluation: EvaluationSpec = EvaluationSpec()
    metrics: Annotated[list[MetricName], Field(validate_default=True)] = Field(default_factory=list)
    threshold: Annotated[ThresholdRule | None, Field(validate_default=True)] = None
    early_stopping: EarlyStopping | None = None
    checkpoint: Annotated[CheckpointSpec, Field(validate_default=True)] = CheckpointSpec()
    cache: CacheSpec = CacheSpec()
    observers: list[AnyObserver] = Field(default_factory=list)

    def __repr__(self) -> str:
        return self.text()

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return f'<pre style="font-family: monospace">{escape(self.text())}</pre>'

    def text(self) -> str:
        """Returns the spec as YAML that means the same, without default values."""
        from isotune.spec.short import short  # which knows this class

        return yaml.safe_dump(
            short(self), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
        )

    @field_validator("shards")
    @classmethod
    def _shards_have_images(cls, shards: int, info: ValidationInfo) -> int:
        size = info.data.get("batch_size")
        if size is not None and shards > size:
            raise ValueError(
                f"is {shards}, but a batch of {size} images cannot be divided into more shards"
                " than images"
            )
        return shards

    @field_validator("mixing")
    @classmethod
    def _a_batch_has_partners(
        cls, mixing: MixingSpec | None, info: ValidationInfo
    ) -> MixingSpec | None:
        if mixing is not None and info.data.get("batch_size") == 1:
            raise ValueError("mixes images of the same batch, but batch_size is 1")
        return mixing

    @field_validator("cache")
    @classmethod
    def _mixed_images_have_no_features(cls, cache: CacheSpec, info: ValidationInfo) -> CacheSpec:
        if cache.views is not None and info.data.get("mixing") is not None:
            raise ValueError(
                f"views is {cache.views}, but features of images that are mixed anew in every step"
                " cannot be cached; leave out views or mixing"
            )
        return cache

    @field_validator("loss")
    @classmethod
    def _balances_once(cls, loss: LossSpec, info: ValidationInfo) -> LossSpec:
        if info.data.get("sampler") == "balanced" and loss.class_weights == "balanced":
            raise ValueError(
                "class_weights: balanced and sampler: balanced would count rare classes twice; keep"
                " one of them"
            )
        return loss

    @field_validator("loss")
    @classmethod
    def _several_labels_are_sigmoids(cls, loss: LossSpec, info: ValidationInfo) -> LossSpec:
        if not _multi_label(info):
            return loss
        if "name" not in loss.model_fields_set:
            return loss.model_copy(update={"name": "binary_cross_entropy"})
        if loss.name != "binary_cross_entropy":
            raise ValueError(
                f"{loss.name} is for one label an image, but dataset.targets is multi_label, which"
                " needs loss: binary_cross_entropy"
            )
        return loss

    @field_validator("schedule")
    @classmethod
    def _changes_what_the_optimizer_has(
        cls, schedule: ScheduleSpec, info: ValidationInfo
    ) -> ScheduleSpec:
        if "optimizer" in info.data:
            schedule.check_optimizer(info.data["optimizer"])
        return schedule

    @field_validator("metrics")
    @classmethod
    def _metrics_apply_to_the_labels(cls, metrics: list[str], info: ValidationInfo) -> list[str]:
        return metrics_for(metrics, _multi_label(info)) if "dataset" in info.data else metrics

    @field_validator("threshold")
    @classmethod
    def _several_labels_have_thresholds(
        cls, threshold: ThresholdRule | None, info: ValidationInfo
    ) -> ThresholdRule | None:
        if "dataset" not in info.data:
            return threshold
        if not _multi_label(info) and threshold is not None:
            raise ValueError(
                "is for images that may have several labels, with dataset.targets: multi_label;"
                " leave it out"
            )
        return threshold or ("max_f1" if _multi_label(info) else None)

    @field_validator("checkpoint")
    @classmethod
    def _usual_monitor(cls, part: CheckpointSpec, info: ValidationInfo) -> CheckpointSpec:
        if _multi_label(info) and "monitor" not in part.model_fields_set:
            return part.model_copy(update={"monitor": f"val_{MULTI_LABEL}"})
        return part

    @field_validator("early_stopping", "checkpoint")
    @classmethod
    def _monitors_what_is_computed(cls, part: Any, info: ValidationInfo) -> Any:
        if part is not None and "metrics" in info.data:
            check_monitor(part.monitor, info.data["metrics"])
        return part

    @field_validator("head")
    @classmethod
    def _a_single_output_is_a_sigmoid(cls, head: HeadSpec, info: ValidationInfo) -> HeadSpec:
        loss = info.data.get("loss")
        if head.outputs == "single" and loss is not None and loss.name != "binary_cross_entropy":
            raise ValueError("a single output needs loss: binary_cross_entropy")
        if head.outputs == "single" and _multi_label(info):
            raise ValueError(
                "a single output tells two classes apart, but dataset.targets is multi_label, which"
                " needs outputs: per_class"
            )
        return head

    @model_validator(mode="after")
    def _schedule_monitors_what_is_computed(self) -> ExperimentSpec:
        monitor = self.schedule.monitored()
        if monitor is not None:
            check_monitor(monitor, self.metrics, "schedule")
        return self


def _multi_label(info: ValidationInfo) -> bool:
    """Whether an image may have several labels."""
    dataset = info.data.get("dataset")
    return dataset is not None and dataset.multi_label
