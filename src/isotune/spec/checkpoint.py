"""What a spec says about evaluation, early stopping and checkpoints."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from isotune.spec.base import Meaning, SpecModel
from isotune.spec.metrics import Monitor
from isotune.spec.values import NotNegative


class EvaluationSpec(SpecModel):
    """In which epochs the model is evaluated on the validation images.

    The last epoch always is, so that every run has a best one. Early stopping counts the
    epochs that are evaluated.

    Attributes:
        every: Number of epochs from one evaluation to the next.
        start: The first epoch that is evaluated, counted from 1.
    """

    every: Annotated[int, Field(ge=1)] = 1
    start: Annotated[int, Field(ge=1)] = 1

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether `epoch`, counted from 1, is evaluated in a run of `epochs` epochs."""
        counted = epoch >= self.start and (epoch - self.start) % self.every == 0
        return counted or epoch == epochs


class EarlyStopping(SpecModel):
    """Ends the run when a metric has stopped improving.

    Attributes:
        monitor: The metric.
        patience: Number of evaluated epochs without improvement after which the run ends.
        min_delta: Smallest change that counts as an improvement, in units of the metric.
    """

    monitor: Monitor = "val_loss"
    patience: Annotated[int, Field(ge=1)] = 5
    min_delta: NotNegative = 0.0


WeightsFile = Annotated[
    str,
    Field(pattern=r"^\w[\w .-]*\.(safetensors|pth|ckpt)$"),
    Meaning("the name of a file, without folders, that ends in .safetensors, .pth or .ckpt"),
]


class CheckpointSpec(SpecModel):
    """When the state of a run is saved. The state of the best epoch is always saved and kept.

    Attributes:
        monitor: The metric that decides which epoch is best; of equal ones, the first is.
        every_epochs: Number of epochs from one checkpoint to the next; null saves only after the
            best and the last epoch.
        every_steps: Number of training steps from one checkpoint to the next; null does not
            count steps. With `accumulate`, a checkpoint waits for the next update.
        every_minutes: Minutes without a checkpoint after which one is saved, with the next
            update; null does not measure time.
        keep: Number of most recent checkpoints to keep.
        save_best_as: Name of a file in the run folder that always holds the best weights, in the
            format of its suffix: ``best.safetensors``, ``best.pth``, ``best.ckpt``.
    """

    monitor: Monitor = "val_accuracy"
    every_epochs: Annotated[int, Field(ge=1)] | None = 1
    every_steps: Annotated[int, Field(ge=1)] | None = None
    every_minutes: Annotated[float, Field(gt=0)] | None = None
    keep: Annotated[int, Field(ge=1)] = 2
    save_best_as: WeightsFile | None = None
