"""Group: an error in one process ends all, with its own sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isotune.distributed.group import INLINE, Group
from isotune.errors import DatasetError, LostProcessError
from threads import in_threads


def test_messages_and_arrays_of_any_length_come_in_the_order_of_processes() -> None:
    def work(group: Group) -> Any:
        rank = group.place.rank
        short, long = group.exchange(b"a" * rank), group.exchange(b"b" * rank * INLINE)
        shared = group.share(b"from 0" if rank == 0 else None)
        arrays = group.arrays(np.full((rank, 2), rank, np.float32))
        return short, long, shared, [each.tolist() for each in arrays]

    expected = (
        [b"", b"a", b"aa"],
        [b"", b"b" * INLINE, b"b" * 2 * INLINE],
        b"from 0",
        [[], [[1, 1]], [[2, 2], [2, 2]]],
    )
    assert in_threads(work) == [expected] * 3


@pytest.mark.parametrize("error", [DatasetError("a.jpg: is broken."), ValueError("no")])
def test_an_error_is_raised_in_all_processes_whatever_they_exchange_next(error: Exception) -> None:
    def work(group: Group) -> Any:
        rank = group.place.rank

        def fail() -> None:
            if rank == 1:
                raise error

        if rank == 2:  # is elsewhere, and hears of it all the same
            return group.arrays(np.zeros(3))
        return group.together(fail)

    first, own, third = in_threads(work)
    assert own is error
    if isinstance(error, DatasetError):
        assert (type(first), str(first)) == (DatasetError, "a.jpg: is broken.")
    else:
        assert (type(first), str(first)) == (LostProcessError, "process 1 failed: ValueError: no")
    assert (type(third), str(third)) == (type(first), str(first))
