"""Recording: what a trace has is what an ordinary run computes, whatever is watched beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zoo
from isotune.equivalence.record import record
from isotune.equivalence.recording import Recording
from isotune.equivalence.trace import ITSELF, Trace
from isotune.experiment.result import Run
from isotune.spec.load import load_spec
from tiny import experiment, make_images

BACKENDS = ["torch"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def small(images: Path, **changes: Any) -> dict[str, Any]:
    """Returns an experiment of one epoch: batches of 4, 4 and 1 images."""
    return experiment(images, **{"epochs": 1, "eval_batch_size": 4, **changes})


def traced(backend: str, spec: dict[str, Any], recording: Recording) -> Trace:
    if backend in zoo.FRAMEWORKS:
        pytest.importorskip(backend)
    return record(load_spec(spec), backend, "cpu", zoo.plugins(backend), recording)


def losses(run: Run, trace: Trace, sizes: list[int]) -> tuple[float, float]:
    """Returns the mean loss of the run's epoch, and what the trace's drift makes it."""
    assert trace.drift is not None
    own = trace.drift.losses[ITSELF].tolist()
    total = 0.0
    for loss, size in zip(own, sizes, strict=True):
        total += loss * size
    return run.history[0].values["train_loss"], total / sum(sizes)


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_are_those_of_an_ordinary_run(backend: str, images: Path, tmp_path: Path) -> None:
    spec = small(images)
    trace = traced(backend, spec, Recording(steps=2))
    run = zoo.run(backend, spec, tmp_path / "run")
    assert trace.drift is not None and trace.predictions is not None
    ran, recorded = losses(run, trace, [4, 4, 1])
    assert ran == recorded
    assert [np.float32(step.loss) for step in trace.steps] == [*trace.drift.losses[ITSELF][:2]]
    np.testing.assert_array_equal(
        trace.predictions.logits[ITSELF], run.evaluate().logits, strict=True
    )
    assert trace.classes == run.classes
    assert all(step.watched for step in trace.steps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_come_in_order_of_execution(backend: str, images: Path) -> None:
    step = traced(backend, small(images), Recording(drift=0, predictions=0)).steps[0]
    names = [name for name in step.values if "flatten" not in name]
    assert names == [
        "input/images",
        "forward/fc",
        "forward/",
        "loss/loss",
        "loss/logits",
        "backward/",
        "backward/fc",
        "gradient/fc.bias",
        "gradient/fc.weight",
        "update/fc.weight",
        "update/fc.bias",
        "state/fc.weight",
        "state/fc.bias",
        "state/fc.weight/momentum_buffer",
        "state/fc.bias/momentum_buffer",
    ]
