from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isotune.equivalence.local.companions import CompareLocally, RecordWhole
from isotune.equivalence.recording.record import record
from isotune.equivalence.recording.steps import Companion, Recording
from isotune.equivalence.traces.file import read_trace, write_trace
from isotune.equivalence.traces.sampling import values_of
from isotune.equivalence.traces.trace import Trace
from isotune.spec.load import load_spec
from tiny import experiment, make_images, numpy_plugins

TWO_STEPS = Recording(steps=2, drift=0, predictions=0, variants=False)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("images"))


def traced(images: Path, companion: Companion, **changes: Any) -> Trace:
    spec = load_spec(experiment(images, **changes))
    return record(spec, "numpy", "cpu", numpy_plugins(), TWO_STEPS, companion=companion)


def test_the_first_step_keeps_whole_arrays_that_are_those_of_its_samples(
    images: Path, tmp_path: Path
):
    recorded = traced(images, RecordWhole(tmp_path))
    first, second = recorded.steps
    assert not second.whole and not second.runs
    assert {"inputs/fc/0", "forward/fc", "backward/fc"} <= set(first.whole)
    for name in ("forward/fc", "backward/fc"):
        assert np.array_equal(
            values_of(name, first.whole[name]).samples, first.values[name].samples
        )
    gradient = first.runs["parameters/fc.weight/fc"]
    assert np.array_equal(gradient.samples, first.values["gradient/fc.weight"].samples)
    assert set(first.run_yardsticks) == set(first.runs)
    assert 0 < max(first.run_yardsticks.values()) < 1e-5
    assert not list(tmp_path.iterdir())


def test_a_live_side_computes_the_same_of_recorded_inputs(images: Path):
    recorded = traced(images, RecordWhole())
    local = CompareLocally(recorded)
    traced(images, local)
    assert local.found is not None
    assert set(local.found.values) == set(recorded.steps[0].runs)
    assert {each.difference for each in local.found.values.values()} == {0}
    assert not local.found.skipped


def test_the_recorded_inputs_may_come_from_a_file(images: Path, tmp_path: Path):
    write_trace(tmp_path / "a.trace", traced(images, RecordWhole()))
    local = CompareLocally(read_trace(tmp_path / "a.trace"))
    traced(images, local)
    assert local.found is not None
    assert {each.difference for each in local.found.values.values()} == {0}
    assert local.found.of("gradient/fc.weight") == local.found.values["parameters/fc.weight/fc"]


def test_nothing_local_is_known_of_a_divided_batch(images: Path):
    divided = traced(images, RecordWhole(), shards=2)
    assert not divided.steps[0].whole
    recorded = traced(images, RecordWhole())
    for trace, shards in ((divided, 1), (recorded, 2)):
        local = CompareLocally(trace)
        traced(images, local, shards=shards)
        assert local.found is None
