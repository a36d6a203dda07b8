"""Training as the interfaces describe it, on the core's own uint8 batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Batch, Normalization
from isotune.interfaces.freezing import FreezePlan
from isotune.interfaces.trainer import TrainingPlan
from isotune.testing.reference.layers import Array, Layer, Pass, backward, forward
from isotune.testing.reference.loss import LOSSES
from isotune.testing.reference.optimizers import Slots, rule, updated


def normalized(images: NDArray[np.uint8], normalization: Normalization) -> Array:
    """Returns float64, shape (N, 3, height, width)."""
    scaled: Array = (images / 255.0 - np.array(normalization.mean)) / np.array(normalization.std)
    return scaled.transpose(0, 3, 1, 2)


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
        self.averages = self.averages or dict(self.state)
        at = Pass(self.state, True, self.frozen, self.plan.seed, step)
        logits = forward(self.net, normalized(batch.images, self.normalization), at)
        loss, gradient = self._loss(logits, batch)
        if scale := self.plan.auxiliary_loss(self.state.keys() - self.frozen.frozen):
            for path, scores in at.auxiliary.items():
                other, slope = self._loss(scores, batch)
                loss, at.auxiliary_gradients[path] = loss + scale * other, scale * slope
        backward(self.net, gradient, at)
        gradients = self._clipped(
            {name: at.gradients[name] for name in sorted(at.gradients.keys() - self.frozen.frozen)}
        )
        for name, gradient in gradients.items():
            theta, slots = self.state[name], self.slots.get(name, {})
            spec = rule(self.plan.optimizer, theta, momentum)
            own_rate = rate * self.plan.lr_scale(name)
            self.state[name], self.slots[name] = updated(spec, theta, gradient, slots, own_rate)
        if decay is not None:
            for name, value in self.state.items():
                self.averages[name] = decay * self.averages[name] + (1 - decay) * value
        return logits, loss

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
