"""Trainer: the core owns the loop, schedules and metrics; a backend one step of each kind."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import DeviceBatch
from isotune.interfaces.division import Part
from isotune.interfaces.freezing import FreezePlan
from isotune.spec.loss import LossName
from isotune.spec.optimizer import OptimizerSpec
from isotune.spec.values import Precision, Reduction


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of a trainer for the whole run.

    Attributes:
        optimizer: The update rule and its constants. Its ``lr`` is not used: every
            :class:`StepPlan` has the learning rate.
        loss: Name of the loss; :mod:`isotune.spec.loss` defines it.
        label_smoothing: As in PyTorch's ``CrossEntropyLoss``, in [0, 1).
        class_weights: float32, shape (classes,), or None. With weights, the loss is the
            weighted mean, as in PyTorch's ``CrossEntropyLoss``.
        multi_label: Whether labels of shape (N, classes) are those of images that may have
            several. If not, they are the shares of the classes of images that were mixed, and
            sum to 1: class probabilities, as PyTorch's ``CrossEntropyLoss`` takes them.
        seed: The experiment's seed, which decides dropout masks.
        precision: Precision of the model's computation, one of the backend's ``precisions()``;
            parameters, loss and optimizer are always float32.
        compile: Whether to compile the model, if the framework leaves the choice.
        accumulate: Maximum number of training steps per update.
        lr_scales: Factors of the learning rate by the path of a part of the model; 1 for all
            other parameters.
        clip_grad_norm: Largest norm of an update's gradient; None does not clip. The gradients of
            all trainable parameters are one vector, after accumulation and without the scale of
            float16; where its norm (L2) is larger, it is multiplied by
            ``clip_grad_norm / (norm + 1e-6)``, as in PyTorch's ``clip_grad_norm_``.
        auxiliary: Paths of auxiliary classifiers. In training, the model returns their logits
            after its own.
        auxiliary_weight: Factor of their losses, as long as any of their parameters trains.
        shards: Number of shards of a batch; see :mod:`isotune.interfaces.division`. With more than
            one, or with several processes, every :class:`StepPlan` has a part.
        reduction: How gradients of a batch's parts are added: ``exact`` in the order of the parts,
            in float32, from zero; ``fast`` by the framework's own all-reduce, in any order.
        averages: Whether the trainer keeps exponential moving averages of the tensors that
            training changes: see :attr:`StepPlan.average_decay` and :meth:`Trainer.swap_average`.
    """

    optimizer: OptimizerSpec
    loss: LossName = "cross_entropy"
    label_smoothing: float = 0.0
    class_weights: NDArray[np.float32] | None = None
    multi_label: bool = False
    seed: int = 0
    precision: Precision = "fp32"
    compile: bool = False
    accumulate: int = 1
    lr_scales: Mapping[str, float] = field(default_factory=dict)
    clip_grad_norm: float | None = None
    auxiliary: tuple[str, ...] = ()
    auxiliary_weight: float = 0.0
    shards: int = 1
    reduction: Reduction = "exact"
    averages: bool = False

    def lr_scale(self, parameter: str) -> float:
        """Returns the learning-rate scale of a parameter, by its canonical name."""
        for path, scale in self.lr_scales.items():
            if parameter == path or parameter.startswith(f"{path}."):
                return scale
        return 1.0

    def weight_decay(self, shape: Sequence[int]) -> float:
        """Returns the weight decay of a parameter of this shape."""
        spared = self.optimizer.no_decay == "norms_and_biases" and len(shape) <= 1
        return 0.0 if spared else self.optimizer.weight_decay

    def auxiliary_loss(self, training: Iterable[str]) -> float:
        """Returns the factor of the auxiliary losses while these parameters train."""
        prefixes = tuple(f"{path}." for path in self.auxiliary)
        return self.auxiliary_weight if any(n.startswith(prefixes) for n in training) else 0.0


@dataclass(frozen=True)
class StepPlan:
    """What one training step does besides its batch.

    Attributes:
        step: Number of the step, from 0 over the whole run. With the seed it decides dropout (see
            :mod:`isotune.training.dropout`).
        learning_rate: Learning rate of the update, before the scales of :class:`TrainingPlan`.
        loss_scale: Factor of the gradients; the returned loss is not scaled.
        apply_update: Whether the step ends in an update, by the sum of the gradients since the
            last one. False only if the plan accumulates.
        momentum: Momentum (SGD) or first beta (Adam, AdamW) of the update, in (0, 1); None is the
            optimizer's own. As in PyTorch when a scheduler changes it, it decays the running mean
            in this update, and Adam's bias correction is that of the current value. Always None
            for SGD without momentum.
        average_decay: After the update, ``average = d * average + (1 - d) * value`` with this d,
            in float32, for all parameters and BatchNorm statistics that training changes. An
            average starts from the value before the first step that may change it. None without
            averages or without an update.
        part: What of a divided batch the step computes; None for a whole batch in one process.
            A process's steps of a batch follow each other in the order of its parts, empty ones
            included, whose batch has size 0. Where several processes compute a shard, BatchNorm
            layers in training mode compute its batch statistics together. After a process's last
            part of a batch, running statistics become the mean, in the order of the shards, of
            what each shard with images has made of those before the batch. An update uses the
            sum over all parts of all processes of the gradients that each part has added up
            since the last one; its ``loss_scale`` is the part's share of the update's mean loss.
    """

    step: int
    learning_rate: float
    loss_scale: float = 1.0
    apply_update: bool = True
    momentum: float | None = None
    average_decay: float | None = None
    part: Part | None = None


@dataclass(frozen=True)
class Outputs:
    """Results of a step on the device; reading them waits for the device.

    Attributes:
        logits: shape (N, classes), or (N, 1) from a single output; native.
        loss: scalar, native; None after an evaluation step.
        grad_norm: scalar, native: the norm of the update's gradient before clipping; None where
            the step made no update or the plan does not clip.
    """

    logits: Any
    loss: Any = None
    grad_norm: Any = None


@dataclass(frozen=True)
class HostOutputs:
    """Results of a step on the host.

    Attributes:
        logits: float32, shape (N, classes), or (N, 1) from a single output.
        loss: NaN after an evaluation step.
        grad_norm: NaN where the outputs have none.
    """

    logits: NDArray[np.float32]
    loss: float
    grad_norm: float = math.nan


class Trainer(ABC):
    """Trains and evaluates one native model.

    The core calls :meth:`freeze` before the first step and whenever the plan changes.
    """

    @abstractmethod
    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything except ``plan.frozen`` from the next step on.

        The optimizer keeps the state of parameters that continue to train, drops that of newly
        frozen ones, and starts that of newly unfrozen ones from zero.
        """

    @abstractmethod
    def train_step(self, batch: DeviceBatch, plan: StepPlan) -> Outputs:
        """Computes the gradients of a batch and updates, without waiting for the device.

        Returns the outputs from before the update. Of an empty part, a batch of size 0, nothing but
        the gradient's norm is read.
        """

    @abstractmethod
    def eval_step(self, batch: DeviceBatch) -> Outputs:
        """Computes the logits in evaluation mode; nothing of the model changes."""

    @abstractmethod
    def swap_average(self) -> None:
        """Exchanges the values of the model with their averages, in place.

        The second call undoes the first, to the bit; in between there are only evaluation steps.
        Does nothing without averages.
        """

    @abstractmethod
    def fetch(self, outputs: Sequence[Outputs]) -> list[HostOutputs]:
        """Copies the results of some steps to the host, waiting for the device once."""
