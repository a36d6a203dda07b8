"""Recording in several processes, which are threads here: their number does not decide a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.distributed.joined import joined
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import Recording
from isotune.equivalence.traces.sampling import difference
from isotune.equivalence.traces.trace import ITSELF, Trace, TracedStep
from isotune.errors import SpecError
from isotune.interfaces.communicator import Communicator
from isotune.spec.load import load_spec
from threads import plugins_of, with_communicators
from tiny import experiment, make_images

EVERYTHING: dict[str, Any] = {
    "backbone": {"name": "small", "weights": "none"},
    "loss": {"name": "cross_entropy", "class_weights": "balanced"},
    "clip_grad_norm": 0.5,
    "ema": {"decay": 0.9},
    "epochs": 1,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 9 training images, the last batch of 4 has 1: three of four parts are empty."""
    return make_images(tmp_path_factory.mktemp("images"))


def traces(spec: dict[str, Any], processes: int) -> list[Trace]:
    """Returns the trace of each process."""

    def work(communicator: Communicator) -> Trace:
        plugins = plugins_of(communicator)
        with joined("numpy", "cpu", plugins) as others:
            recording = Recording(steps=3, predictions=4)
            return record(load_spec(spec), "numpy", "cpu", plugins, recording, others)

    found = with_communicators(work, processes)
    for each in found:
        if isinstance(each, Exception):
            raise each
    return found


def furthest(one: TracedStep, other: TracedStep) -> tuple[float, str]:
    """Returns the largest relative difference of samples, and the name of the value."""
    assert one.values.keys() == other.values.keys()
    return max(
        (difference(values.samples, other.values[name].samples), name)
        for name, values in one.values.items()
    )


def test_shards_are_traced_alike_by_any_number_of_processes(images: Path) -> None:
    spec = experiment(images, shards=4, **EVERYTHING)
    alone, *_ = traces(spec, 1)
    for processes in (2, 4):
        together, *_ = traces(spec, processes)
        assert together.side.processes == processes
        assert together.start == alone.start and together.layers == alone.layers
        for one, other in zip(alone.steps, together.steps, strict=True):
            assert (one.batch, one.loss, one.watched) == (other.batch, other.loss, other.watched)
            assert [*one.values] == [*other.values]
            assert furthest(one, other)[0] == 0
            for name, values in one.values.items():
                found = other.values[name]
                assert (found.shape, found.largest) == (values.shape, values.largest)
                np.testing.assert_allclose(found.norm, values.norm, rtol=1e-12)
                np.testing.assert_allclose(found.mean, values.mean, rtol=1e-9, atol=1e-12)
        assert alone.drift is not None and together.drift is not None
        for name, losses in alone.drift.losses.items():
            assert losses.tobytes() == together.drift.losses[name].tobytes()


def test_a_shared_shard_is_traced_as_one(images: Path) -> None:
    head = {"name": "mlp", "hidden": [6], "dropout": 0.5}
    linear = {**EVERYTHING, "backbone": {"name": "linear", "weights": "none"}, "head": head}
    alone, *_ = traces(experiment(images, **linear), 1)
    first, second = traces(experiment(images, **linear), 2)
    assert len(alone.steps) == 3
    for one, other in zip(alone.steps, first.steps, strict=True):
        assert furthest(one, other)[0] < 1e-3
        for name, values in one.values.items():
            assert other.values[name].shape == values.shape
            np.testing.assert_allclose(other.values[name].norm, values.norm, 1e-3, 1e-6)
    assert first.steps[0].values["forward/fc.0"].shape == (4, 6)
    assert first.predictions is not None and second.predictions is None
    assert first.predictions.logits[ITSELF].shape == (4, 3)


def test_an_error_of_one_process_is_that_of_all(images: Path) -> None:
    spec = experiment(images, batch_size=9, **EVERYTHING)
    with pytest.raises(SpecError, match="3 steps cannot be traced"):
        traces(spec, 2)
