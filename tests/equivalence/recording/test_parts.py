"""Arrays that come in parts are summed up as if they had come whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isotune.distributed.group import Group
from isotune.equivalence.recording.parts import Parts
from isotune.equivalence.traces.sampling import CHUNK, Values, sums_of, values_of
from threads import in_threads


def check_same(found: Values, expected: Values) -> None:
    assert found.samples.tobytes() == expected.samples.tobytes()
    assert (found.shape, found.largest) == (expected.shape, expected.largest)
    np.testing.assert_allclose([found.norm, found.mean], [expected.norm, expected.mean], 1e-9)


@given(
    st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99)
)
def test_parts_of_several_processes_make_the_whole(
    images: int, shards: int, factor: int, rows: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    array = generator.normal(1, 1, (images * rows, 7, 30)).astype(np.float32)
    gradient = generator.normal(1, 1, (shards * factor, 11, 60)).astype(np.float32)

    def work(group: Group) -> Any:
        parts = Parts(images, sums=True)
        for part in group.division(shards).divide(images):
            own = array[part.start * rows : part.stop * rows]
            parts.add("forward/layer", own if len(part) else np.ones((rows, 7, 30), "f4"), part)
            parts.add("forward/constant", np.ones((4 * images + 1, 3), np.float32), part)
            parts.add_up("gradient/weight", gradient[part.index], part)
        return parts.values(group)

    processes = shards * factor if seed % 2 else 1
    parts = shards if processes == 1 else processes
    for found in in_threads(work, processes):
        check_same(found["forward/layer"], values_of("forward/layer", array))
        total = gradient[:parts].astype(np.float64).sum(0).astype(np.float32)
        check_same(found["gradient/weight"], values_of("gradient/weight", total))


def test_what_has_no_row_for_an_image_is_kept_of_a_whole_batch_only() -> None:
    table = np.ones((3, 5), np.float32)
    (part, _) = Group().division(2).divide(4)
    divided, whole = Parts(4, sums=True), Parts(4, sums=True)
    divided.add("forward/table", table, part)
    whole.add("forward/table", table, None)
    assert not divided.values(Group())
    check_same(whole.values(Group())["forward/table"], values_of("forward/table", table))


@pytest.mark.parametrize("size", [0, 1, CHUNK, 3 * CHUNK + 5])
def test_sums(size: int) -> None:
    array = np.random.default_rng(size).normal(2, 3, size).astype(np.float32)
    wide, sums = array.astype(np.float64), sums_of(array)
    np.testing.assert_allclose([sums.squares, sums.total], [wide @ wide, wide.sum()])
    assert sums.largest == (np.abs(array).max() if size else 0)


def test_a_number_that_is_none_is_not_lost() -> None:
    array = np.zeros(2 * CHUNK, np.float32)
    array[0] = np.nan
    values = values_of("forward/layer", array)
    assert np.isnan([values.norm, values.mean, values.largest]).all()
