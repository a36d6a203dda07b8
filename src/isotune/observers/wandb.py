"""Observer ``wandb``: a run in Weights & Biases."""

from __future__ import annotations

import os
import secrets
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from isotune.errors import IsotuneError
from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted, StepEnded
from isotune.observers.figures import figures, png
from isotune.observers.identity import keep, known_as
from isotune.observers.settings import numbers, settings
from isotune.spec.observer import ObserverSpec

EVERY_STEPS = 16
"""Number of steps between two losses; fewer are not fetched from the device."""


class WandbSpec(ObserverSpec):
    """Logs to Weights & Biases, whose own variables (``WANDB_MODE``, ``WANDB_API_KEY``) count.

    Attributes:
        project: Name of the project; null takes ``WANDB_PROJECT``, or else the spec's name.
    """

    name: Literal["wandb"] = "wandb"
    project: Annotated[str, Field(min_length=1)] | None = None

    def open(self, folder: Path) -> WandbRun:
        """Returns what logs to Weights & Biases.

        Raises:
            IsotuneError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError:
            raise IsotuneError(
                'wandb is not installed; `pip install "isotune[wandb]"` installs it.'
            ) from None
        return WandbRun(wandb, self.project)


class WandbRun:
    """Logs a run. Steps that were logged before a kill are not logged twice.

    Args:
        wandb: The package.
        project: Name of the project, or None.
    """

    def __init__(self, wandb: Any, project: str | None) -> None:
        self._wandb, self._project = wandb, project
        self._run: Any = None
        self._steps_per_epoch = 0

    def isotune_run_started(self, event: RunStarted) -> None:
        """Begins a run, or goes on with the one that was begun before."""
        self._steps_per_epoch = event.steps_per_epoch
        identity = known_as(event.folder, "wandb") or secrets.token_hex(4)
        self._run = self._wandb.init(
            project=self._project or os.environ.get("WANDB_PROJECT") or event.spec.name,
            name=event.folder.name,
            id=identity,
            resume="allow",
            dir=str(event.folder),
            config=settings(event),
        )
        keep(event.folder, "wandb", identity)

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Logs the loss of a step."""
        if event.loss is not None and event.step % EVERY_STEPS == 0:
            step = (event.epoch - 1) * self._steps_per_epoch + event.step
            self._run.log({"step_loss": event.loss}, step=step)

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Logs the metrics of an epoch."""
        values = numbers(event.metrics)
        self._run.log(values, step=int(values["steps"]))

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Logs the best epoch and figures."""
        self._run.summary.update({f"best_{k}": v for k, v in event.summary["best"].items()})
        from PIL import Image

        for name, figure in figures(event):
            self._run.log({name: self._wandb.Image(Image.open(BytesIO(png(figure))))})

    def isotune_run_ended(self, event: RunEnded) -> None:
        """Ends the run."""
        self._run.finish(exit_code=0 if event.status == "finished" else 1)
