"""Numbers that are moved to their neighbors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from isotune.interfaces.tracer import Array, moved

NUMBERS = arrays(np.float32, 20, elements=st.floats(-100, 100, width=32))
UP = arrays(np.bool_, 20)


@given(NUMBERS, UP)
def test_one_step_leads_to_the_next_float32(numbers: Array, up: Array) -> None:
    towards = np.where(up, np.float32(np.inf), np.float32(-np.inf))
    assert_array_equal(moved(numbers, up), np.nextafter(numbers, towards))


@pytest.mark.parametrize("dropped", [13, 16])
@given(NUMBERS.map(lambda numbers: np.where(np.abs(numbers) < 1e-3, 1, numbers)), UP)
def test_steps_of_a_coarser_number_lead_to_its_neighbor(
    dropped: int, numbers: Array, up: Array
) -> None:
    """One without the last 13 bits, as of TF32 and float16, or without 16, as of bfloat16."""
    numbers = numbers.astype(np.float32)
    found = moved(numbers, up, 2**dropped)
    bits = [each.view(np.int32) >> dropped for each in (np.abs(numbers), np.abs(found))]
    assert_array_equal(bits[1] - bits[0], np.where(up == (numbers > 0), 1, -1))
