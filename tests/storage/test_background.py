"""Work beside the thread that asks for it: in order, and up to the first error."""

from __future__ import annotations

import threading

import pytest

from isotune.storage.background import Background


def test_work_is_done_in_order_beside_who_starts_it() -> None:
    done, gate = list[int](), threading.Event()
    background = Background("test")
    background.start(lambda: gate.wait(60) and done.append(1))
    background.start(lambda: done.append(2))
    background.check()
    assert done == []
    gate.set()
    background.wait()
    assert done == [1, 2]


def test_an_error_is_raised_once_and_ends_the_work_after_it() -> None:
    done, gate = list[int](), threading.Event()
    background = Background("test")

    def fail() -> None:
        gate.wait(60)
        raise ValueError("it broke")

    background.start(fail)
    background.start(lambda: done.append(1))
    gate.set()
    background.join()
    with pytest.raises(ValueError, match="it broke"):
        background.check()
    background.wait()
    assert done == []
