"""A training step on a part of a batch: its gradients as one vector, which others are added to."""

from __future__ import annotations

from collections.abc import Iterable

import mindspore as ms
from mindspore import ParameterTuple, Tensor, nn

from isotune_mindspore.dropout import Dropout
from isotune_mindspore.step import TrainStep
from isotune_mindspore.vectors import Flatten


class PartStep(TrainStep):
    """Forward pass and loss of a part, and the gradients of `weights`; it updates nothing.

    Args:
        model: As for :class:`TrainStep`.
        loss: As for :class:`TrainStep`.
        weights: Trainable parameters.
        dropouts: The model's dropout cells.
        auxiliary: As for :class:`TrainStep`.
    """

    def __init__(
        self,
        model: nn.Cell,
        loss: nn.Cell,
        weights: ParameterTuple,
        dropouts: Iterable[Dropout],
        auxiliary: float | None = None,
    ) -> None:
        super().__init__(model, loss, weights, Flatten(), dropouts, auxiliary)
        self.with_gradients = ms.value_and_grad(self.share, None, weights, has_aux=True)

    def share(self, images: Tensor, labels: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        """Returns the part's share of the update's loss, then loss and logits.

        The loss is scaled, not its gradients: where processes compute batch statistics together,
        each computes gradients of the others' losses too.
        """
        loss, logits = self.forward(images, labels)
        return loss * scale, loss, logits

    def construct(
        self, images: Tensor, labels: Tensor, scale: Tensor, seeds: Tensor
    ) -> tuple[Tensor, ...]:
        """Returns loss, logits and gradients: float32, shape (elements of all weights,).

        Args:
            images: float32, shape (N, ...).
            labels: Their labels.
            scale: Scalar, the part's share of the update's mean loss.
            seeds: Those of the dropout layers.
        """
        if self.seeds:
            values = self.unstack(seeds)
            for i, seed in enumerate(self.seeds):
                self.assign(seed, values[i])
        (_, loss, logits), gradients = self.with_gradients(images, labels, scale)
        return loss, logits, self.update(gradients)
