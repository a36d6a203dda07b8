"""Observer ``mlflow``: parameters, metrics and artifacts of a run in MLflow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from isotune.errors import IsotuneError
from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted, StepEnded
from isotune.interfaces.metrics import EpochMetrics
from isotune.observers.figures import figures
from isotune.observers.kept import Kept
from isotune.observers.losses import StepLosses
from isotune.observers.place import Place, experiment_name
from isotune.observers.settings import STEP_LOSS, numbers, settings
from isotune.spec.observer import ObserverSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

STORE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"
EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"
STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
FOLDER = "isotune.folder"
"""The tag that holds a run's folder, by which a run is known to be one of Isotune's."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""How long training waits for a server, unless these variables say so: MLflow's own seven retries
take minutes."""

MOST_VALUES = 100
"""Number of parameters that MLflow takes at once."""

MOST_CHARACTERS = 6000
"""Number of characters that a parameter's value may have in MLflow."""


class MlflowSpec(ObserverSpec):
    """Logs to MLflow: where its own settings say, or else into ``mlflow.db`` beside the run folder.

    All runs there share that file: ``mlflow ui --backend-store-uri sqlite:///runs/mlflow.db``
    shows them. ``MLFLOW_TRACKING_URI`` names a server.

    Attributes:
        experiment: Name of the experiment in MLflow; null takes ``MLFLOW_EXPERIMENT_NAME``, or
            else the spec's name.
    """

    name: Literal["mlflow"] = "mlflow"
    experiment: Annotated[str, Field(min_length=1)] | None = None

    def open(self, folder: Path) -> MlflowRun:
        """Returns what logs to MLflow.

        Raises:
            IsotuneError: MLflow is not installed.
        """
        try:
            import mlflow
        except ImportError as error:
            raise IsotuneError(
                f'MLflow cannot be imported ({error}); `pip install "isotune[mlflow]"` installs it.'
            ) from None
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # "Creating tables"
        place, elsewhere = Place.of(folder), mlflow.is_tracking_uri_set()
        address = None if elsewhere else f"sqlite:///{place.root / STORE}"
        with _patience():
            client = mlflow.MlflowClient(address)
        return MlflowRun(client, self.experiment, place, None if elsewhere else place.root)


class MlflowRun:
    """Logs a run. What MLflow has of it already is not logged twice.

    Args:
        client: MLflow's client.
        experiment: Name of the experiment; None takes the spec's name.
        place: The run's place among others.
        local: The folder in which artifacts are kept, where MLflow's own settings name no store.
    """

    def __init__(
        self, client: MlflowClient, experiment: str | None, place: Place, local: Path | None
    ) -> None:
        self._client, self._experiment = client, experiment
        self._place, self._local = place, local
        self._run, self._steps, self._losses = "", -1, StepLosses()

    def isotune_run_started(self, event: RunStarted) -> None:
        """Begins a run, or goes on with the one that was begun before."""
        with _patience():
            kept = Kept.read(event.folder, "mlflow")
            if kept is None or not self._goes_on(kept.id):
                self._begin(event)
            for metrics in event.history:  # the last may not have been logged before a kill
                self._log(metrics)

    def isotune_step_ended(self, event: StepEnded) -> None:
        """Logs the losses of some steps."""
        if self._losses.step_ended(event):
            with _patience():
                self._send([])

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Logs the metrics of an epoch."""
        self._losses.epoch_ended(event)
        with _patience():
            self._log(event.metrics)

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Logs the spec, the summary and figures."""
        drawn = figures(event)
        with _patience():
            for name in ("spec.yaml", "summary.json"):
                self._client.log_artifact(self._run, str(event.folder / name))
            for name, figure in drawn.items():
                self._client.log_figure(self._run, figure, f"{name}.png")

    def isotune_run_ended(self, event: RunEnded) -> None:
        """Ends the run in MLflow."""
        with _patience():
            self._client.set_terminated(self._run, STATES[event.status])

    def _begin(self, event: RunStarted) -> None:
        from mlflow.entities import Param

        tags = {FOLDER: str(event.folder)}
        if self._place.group is not None:
            tags["isotune.group"] = self._place.group
        run = self._client.create_run(
            self._experiment_id(event), tags=tags, run_name=self._place.name
        )
        self._run = run.info.run_id
        Kept(id=self._run).write(event.folder, "mlflow")
        shown = settings(event).items()
        params = [Param(name, str(value)[:MOST_CHARACTERS]) for name, value in shown]
        for begin in range(0, len(params), MOST_VALUES):
            self._client.log_batch(self._run, params=params[begin : begin + MOST_VALUES])

    def _goes_on(self, run: str) -> bool:
        """Whether MLflow still has a run of Isotune's; then it is open again."""
        from mlflow.exceptions import MlflowException

        try:
            found = self._client.get_run(run)
            if FOLDER not in found.data.tags or found.info.lifecycle_stage != "active":
                return False
            self._client.update_run(run, status="RUNNING")
        except MlflowException:
            return False
        self._run = run
        self._steps = self._last("train_loss")
        self._losses.steps = self._last(STEP_LOSS)
        return True

    def _last(self, metric: str) -> int:
        """Returns the last step of a metric that MLflow has."""
        history = self._client.get_metric_history(self._run, metric)
        return max((each.step for each in history), default=-1)

    def _experiment_id(self, event: RunStarted) -> str:
        name = self._experiment or os.environ.get(EXPERIMENT) or experiment_name(event)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = None if self._local is None else (self._local / ARTIFACTS).as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _log(self, metrics: EpochMetrics) -> None:
        if metrics.steps > self._steps:
            self._send(_points(numbers(metrics), metrics.steps))
            self._steps = metrics.steps

    def _send(self, points: list[Metric]) -> None:
        losses = self._losses.take().items()
        steps = [point for step, loss in losses for point in _points({STEP_LOSS: loss}, step)]
        self._client.log_batch(self._run, metrics=[*steps, *points])


def _points(values: Mapping[str, float], step: int) -> list[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value in values.items()]


@contextmanager
def _patience() -> Iterator[None]:
    """Sets :data:`PATIENCE` while MLflow is asked."""
    own = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)
