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
from isotune.observers.kept import Kept
from isotune.observers.losses import StepLosses
from isotune.observers.place import Place, experiment_name
from isotune.observers.settings import STEP_LOSS, numbers, settings
from isotune.spec.observer import ObserverSpec

USUAL = {"console": "off", "init_timeout": 30, "login_timeout": 30, "finish_timeout": 120}
"""Settings that differ from the package's own, unless its variables say otherwise: nothing is
captured of the console, and a run waits neither for a server nor for a login for long."""


class WandbSpec(ObserverSpec):
    """Logs to Weights & Biases, whose own variables count: ``WANDB_MODE``, ``WANDB_API_KEY`` ...

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
        except ImportError as error:
            raise IsotuneError(
                f'wandb cannot be imported ({error}); `pip install "isotune[wandb]"` installs it.'
            ) from None
        return WandbRun(wandb, self.project, Place.of(folder))


class WandbRun:
    """Logs a run.

    Weights & Biases cannot be asked what it has of a run that is not sent yet. So the run folder
    keeps up to which step it was logged, written before that is done: after a kill some points may
    be missing, but none is there twice.

    Args:
        wandb: The package.
        project: Name of the project, or None.
        place: The run's place among others.
    """

    def __init__(self, wandb: Any, project: str | None, place: Place) -> None:
        self._wandb, self._project, self._place = wandb, project, place
        self._run: Any = None
        self._kept = Kept(id=secrets.token_hex(4))
        self._folder, self._losses = Path(), StepLosses()

    def isotune_run_started(self, event: RunStarted) -> None:
        """Begins a run, or goes on with the one that was begun before."""
        self._folder = event.folder
        self._kept = Kept.read(event.folder, "wandb") or self._kept
        self._losses.steps = self._kept.steps
        given = {
            "project": ("WANDB_PROJECT", self._project or experiment_name(event)),
            "name": ("WANDB_NAME", self._place.name),
            "group": ("WANDB_RUN_GROUP", self._place.group),
            "dir": ("WANDB_DIR", str(self._place.root)),
            "id": ("WANDB_RUN_ID", self._kept.id),
            "resume": ("WANDB_RESUME", "allow"),
        }
        arguments = {key: value for key, (name, value) in given.items() if name not in os.environ}
        if self._project is not None:
            arguments["project"] = self._project
        self._run = self._wandb.init(
            **arguments,
            config=settings(event),
            reinit="create_new",  # others of this process go on
            settings=self._wandb.Settings(**self._settings()),
        )
        self._kept.write(event.folder, "wandb")
        for metrics in event.history:  # the last may not have been logged before a kill
            self._log(numbers(metrics), metrics.steps)

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Logs the losses of some steps."""
        if self._losses.step_ended(event):
            self._log({}, max(self._losses.waiting))

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Logs the metrics of an epoch."""
        self._losses.epoch_ended(event)
        self._log(numbers(event.metrics), event.metrics.steps)

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Logs the best epoch and figures."""
        from PIL import Image

        best = event.summary["best"]
        self._run.summary.update({f"best/{name}": value for name, value in best.items()})
        drawn = {name: Image.open(BytesIO(png(each))) for name, each in figures(event).items()}
        if drawn:
            self._run.log({name: self._wandb.Image(image) for name, image in drawn.items()})

    def isotune_run_ended(self, event: RunEnded) -> None:
        """Ends the run."""
        self._run.finish(exit_code=0 if event.status == "finished" else 1)

    def _log(self, values: dict[str, float], steps: int) -> None:
        """Logs what is known up to a step, unless it was logged before."""
        if steps <= self._kept.steps:
            return
        self._kept = self._kept.model_copy(update={"steps": steps})
        self._kept.write(self._folder, "wandb")
        rows: dict[int, dict[str, float]] = {
            step: {STEP_LOSS: loss} for step, loss in self._losses.take().items()
        }
        if values:
            rows[steps] = {**rows.get(steps, {}), **values}
        for step, row in rows.items():
            self._run.log(row, step=step)

    def _settings(self) -> dict[str, object]:
        known = self._wandb.Settings.model_fields
        return {
            name: value
            for name, value in USUAL.items()
            if name in known and f"WANDB_{name.upper()}" not in os.environ
        }
