"""Training as the interfaces describe it, on the core's own uint8 batches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Batch, Normalization
from isotune.interfaces.division import Division
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.names import is_parameter
from isotune.interfaces.trainer import TrainingPlan
from isotune.testing.reference.layers import Array, Layer, Pass, backward, forward
from isotune.testing.reference.loss import LOSSES
from isotune.testing.reference.optimizers import Slots, rule, updated
from isotune.training.micro_batches import batch_weight


def normalized(images: NDArray[np.uint8], normalization: Normalization) -> Array:
    """Returns float64, shape (N, 3, height, width)."""
    scaled: Array = (images / 255.0 - np.array(normalization.mean)) / np.array(normalization.std)
    return scaled.transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class ShardPass:
    """What is computed of a shard that has images.

    Attributes:
        logits: shape (N, classes).
        loss: Mean over its images.
        weight: Denominator of that mean.
        gradients: Its part of the update's gradients, by trainable parameter.
        state: What it has made of the state before its batch: BatchNorm statistics have moved.
    """

    logits: Array
    loss: float
    weight: float
    gradients: dict[str, Array]
    state: dict[str, Array]


class ReferenceTrainer:
    """A trainer whose state can be read at any time.

    Attributes:
        grad_norm: Norm of the last update's gradient before clipping; NaN if the plan does not
            clip.
    """

    def __init__(
        self,
        net: list[Layer],
        state: Mapping[str, NDArray[Any]],
        plan: TrainingPlan,
        normalization: Normalization,
    ) -> None:
        self.net = net
        self.state = {name: value.astype(np.float64) for name, value in state.items()}
        self.plan = plan
        self.normalization = normalization
        self.slots: dict[str, Slots] = {}
        self.frozen = FreezePlan()
        self.grad_norm = math.nan
        self.averages: dict[str, Array] = {}

    def copy(self) -> ReferenceTrainer:
        """Returns a trainer in the same state, which moves on by itself."""
        other = ReferenceTrainer(self.net, self.state, self.plan, self.normalization)
        other.slots = {name: dict(slots) for name, slots in self.slots.items()}
        other.frozen, other.averages = self.frozen, dict(self.averages)
        return other

    def round(self) -> None:
        """Rounds all of the state to float32."""
        for state in (self.state, self.averages, *self.slots.values()):
            for name, value in state.items():
                state[name] = value.astype(np.float32).astype(np.float64)

    def freeze(self, plan: FreezePlan) -> None:
        """Trains everything else; optimizer state of what is frozen is dropped."""
        self.frozen = plan
        self.slots = {name: s for name, s in self.slots.items() if name not in plan.frozen}

    def train_step(
        self,
        batch: Batch,
        rate: float,
        step: int,
        momentum: float | None = None,
        decay: float | None = None,
    ) -> tuple[Array, float]:
        """Makes an update, and one of all averages; returns logits and loss from before it."""
        (shards,) = self.train_update([batch], rate, step, momentum, decay)
        loss = sum(each.loss * each.weight for each in shards)
        logits = np.concatenate([each.logits for each in shards])
        return logits, loss / sum(each.weight for each in shards)

    def train_update(
        self,
        batches: Sequence[Batch],
        rate: float,
        step: int,
        momentum: float | None = None,
        decay: float | None = None,
    ) -> list[list[ShardPass]]:
        """Makes an update of some batches, each divided into the plan's shards.

        Returns, by batch, what was computed of every shard that has images.

        Args:
            batches: The batches, with one step each.
            rate: Learning rate.
            step: Number of the first step.
            momentum: Momentum of the update; None is the optimizer's own.
            decay: Decay of the averages, which move after the update; None leaves them alone.
        """
        self.averages = self.averages or dict(self.state)
        total = sum(batch_weight(batch.labels, self.plan) for batch in batches)
        gradients: dict[str, Array] = {}
        passes = []
        for number, batch in enumerate(batches, step):
            shards = [self._pass(number, *each, total) for each in self._divided(batch)]
            for shard in shards:
                for name, value in shard.gradients.items():
                    gradients[name] = gradients.get(name, 0.0) + value
            for name in itertools.filterfalse(is_parameter, self.state):
                self.state[name] = np.mean([shard.state[name] for shard in shards], axis=0)
            passes.append(shards)
        self._move(self._clipped(gradients), rate, momentum)
        if decay is not None:
            for name, value in self.state.items():
                self.averages[name] = decay * self.averages[name] + (1 - decay) * value
        return passes

    def _divided(self, batch: Batch) -> list[tuple[int, Batch]]:
        """Returns the shards of a batch that have images, with their numbers."""
        cuts = enumerate(itertools.pairwise(Division(self.plan.shards).edges(len(batch))))
        return [
            (shard, Batch(batch.images[start:stop], batch.labels[start:stop]))
            for shard, (start, stop) in cuts
            if stop > start
        ]

    def _pass(self, step: int, shard: int, images: Batch, total: float) -> ShardPass:
        """Computes a shard of an update whose weight is `total`."""
        at = Pass(dict(self.state), True, self.frozen, self.plan.seed, step, shard)
        logits = forward(self.net, normalized(images.images, self.normalization), at)
        loss, gradient = self._loss(logits, images)
        weight = batch_weight(images.labels, self.plan)
        if scale := self.plan.auxiliary_loss(self.state.keys() - self.frozen.frozen):
            for path, scores in at.auxiliary.items():
                other, slope = self._loss(scores, images)
                loss += scale * other
                at.auxiliary_gradients[path] = scale * slope * weight / total
        backward(self.net, gradient * weight / total, at)
        trained = sorted(at.gradients.keys() - self.frozen.frozen)
        gradients = {name: at.gradients[name] for name in trained}
        return ShardPass(logits, loss, weight, gradients, at.state)

    def _move(self, gradients: dict[str, Array], rate: float, momentum: float | None) -> None:
        for name, gradient in gradients.items():
            theta, slots = self.state[name], self.slots.get(name, {})
            spec = rule(self.plan.optimizer, theta, momentum)
            own_rate = rate * self.plan.lr_scale(name)
            self.state[name], self.slots[name] = updated(spec, theta, gradient, slots, own_rate)

    def _clipped(self, gradients: dict[str, Array]) -> dict[str, Array]:
        """Clips an update's gradients: docs.pytorch.org, ``torch.nn.utils.clip_grad_norm_``."""
        if (largest := self.plan.clip_grad_norm) is None:
            return gradients
        self.grad_norm = float(np.sqrt(sum((g**2).sum() for g in gradients.values())))
        factor = min(1.0, largest / (self.grad_norm + 1e-6))
        return {name: g * factor for name, g in gradients.items()}

    def _loss(self, logits: Array, batch: Batch) -> tuple[float, Array]:
        plan = self.plan
        return LOSSES[plan.loss](
            logits, batch.labels, plan.label_smoothing, plan.class_weights, plan.multi_label
        )

    def eval_step(self, batch: Batch) -> Array:
        """Returns the logits in evaluation mode."""
        images = normalized(batch.images, self.normalization)
        return forward(self.net, images, Pass(self.state))

    def optimizer_state(self) -> dict[str, Array]:
        """Returns the optimizer's state by ``PARAMETER/SLOT``."""
        return {
            f"{name}/{slot}": value
            for name, slots in self.slots.items()
            for slot, value in slots.items()
        }
