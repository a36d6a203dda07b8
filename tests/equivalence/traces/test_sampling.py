from __future__ import annotations

import math

import numpy as np
import pytest

from isotune.equivalence.traces.sampling import SAMPLES, difference, positions, values_of


def test_a_small_array_is_kept_whole():
    array = np.arange(SAMPLES, dtype=np.float32).reshape(2, -1)
    assert np.array_equal(values_of("forward/fc", array).samples, array.reshape(-1))


def test_samples_are_spread_over_a_large_array_and_given_by_its_name():
    shape = (64, 64, 7, 7)
    found = positions("forward/layer1", shape)
    edges = np.arange(SAMPLES + 1) * math.prod(shape) // SAMPLES
    assert ((edges[:-1] <= found) & (found < edges[1:])).all()
    assert not np.array_equal(found, positions("forward/layer2", shape))
    assert found[:4].tolist() == positions("forward/layer1", shape)[:4].tolist()


def test_gradient_update_and_slots_of_a_parameter_are_sampled_at_the_same_places():
    names = ["gradient/fc", "update/fc", "state/fc", "state/fc/momentum_buffer"]
    found = [positions(name, (1000, 512)).tolist() for name in names]
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ([3, 4], [3, 4], 0),
        ([0, 0], [0, 0], 0),
        ([0, 0], [3, 4], 1),
        ([3, 4], [-3, -4], 2),
        ([math.nan, 1], [math.nan, 1], 0),
        ([math.nan, 1], [1, 1], math.inf),
        ([1, 2, 3], [1, 2], math.inf),
    ],
)
def test_difference(one: list[float], other: list[float], found: float):
    arrays = np.array(one, np.float32), np.array(other, np.float32)
    assert difference(*arrays) == found
