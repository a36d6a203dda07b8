"""Observer ``mlflow``: parameters, metrics and artifacts of a run in MLflow."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from isotune.errors import IsotuneError
from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted
from isotune.interfaces.metrics import EpochMetrics
from isotune.observers.figures import figures
from isotune.observers.identity import keep, known_as
from isotune.observers.settings import numbers, settings
from isotune.spec.observer import ObserverSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVER = "MLFLOW_TRACKING_URI"
"""MLflow's own variable, the address of a server or a store."""

STORE, ARTIFACTS = "mlflow.db", "mlflow-artifacts"
STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowSpec(ObserverSpec):
    """Logs to MLflow: a server, if ``MLFLOW_TRACKING_URI`` names one, or ``mlflow.db``.

    The file is beside the run folder, so that all runs there share it:
    ``mlflow ui --backend-store-uri sqlite:///runs/mlflow.db`` shows them.

    Attributes:
        experiment: Name of the experiment in MLflow; null takes the spec's name.
    """

    name: Literal["mlflow"] = "mlflow"
    experiment: Annotated[str, Field(min_length=1)] | None = None

    def open(self, folder: Path) -> MlflowRun:
        """Returns what logs to MLflow.

        Raises:
            IsotuneError: MLflow is not installed.
        """
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise IsotuneError(
                'MLflow is not installed; `pip install "isotune[mlflow]"` installs it.'
            ) from None
        store = f"sqlite:///{folder.parent.resolve() / STORE}"
        address = os.environ.get(SERVER) or store
        return MlflowRun(MlflowClient(address), self.experiment, address == store)


class MlflowRun:
    """Logs a run.

    Args:
        client: MLflow's client.
        experiment: Name of the experiment; None takes the spec's name.
        local: Whether the store is a file beside the run folder, and so are artifacts.
    """

    def __init__(self, client: MlflowClient, experiment: str | None, local: bool) -> None:
        self._client, self._experiment, self._local = client, experiment, local
        self._run = ""
        self._logged = -1

    def isotune_run_started(self, event: RunStarted) -> None:
        """Begins a run, or goes on with the one that was begun before."""
        known = known_as(event.folder, "mlflow")
        if known is not None and self._goes_on(known):
            self._run = known
        else:
            tags = {"mlflow.runName": event.folder.name, "isotune.folder": str(event.folder)}
            self._run = self._client.create_run(self._found(event), tags=tags).info.run_id
            keep(event.folder, "mlflow", self._run)
            for name, value in settings(event).items():
                self._client.log_param(self._run, name, value)
        for metrics in event.history:
            self._log(metrics)

    def isotune_epoch_ended(self, event: EpochEnded) -> None:
        """Logs the metrics of an epoch."""
        self._log(event.metrics)

    def isotune_run_finished(self, event: RunFinished) -> None:
        """Logs the spec, the summary and figures."""
        for name in ("spec.yaml", "summary.json"):
            if (event.folder / name).is_file():
                self._client.log_artifact(self._run, str(event.folder / name))
        for name, figure in figures(event):
            self._client.log_figure(self._run, figure, f"{name}.png")

    def isotune_run_ended(self, event: RunEnded) -> None:
        """Ends the run in MLflow."""
        self._client.set_terminated(self._run, STATES[event.status])

    def _goes_on(self, run: str) -> bool:
        """Whether MLflow still has a run; then it is open again."""
        from mlflow.exceptions import MlflowException

        try:
            history = self._client.get_metric_history(run, "train_loss")
            self._client.update_run(run, status="RUNNING")
        except MlflowException:
            return False
        self._logged = max((metric.step for metric in history), default=-1)
        return True

    def _found(self, event: RunStarted) -> str:
        """Returns the id of the experiment."""
        name = self._experiment or event.spec.name
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = event.folder.parent.resolve() / ARTIFACTS
        location = place.as_uri() if self._local else None
        return str(self._client.create_experiment(name, artifact_location=location))

    def _log(self, metrics: EpochMetrics) -> None:
        from mlflow.entities import Metric

        if metrics.epoch <= self._logged:  # before a kill
            return
        now, values = int(time.time() * 1000), numbers(metrics)
        rows = [Metric(name, value, now, metrics.epoch) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=rows)
        self._logged = metrics.epoch
