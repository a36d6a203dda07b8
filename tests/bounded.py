"""What a hostile file may cost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from isotune.weights.formats.pth.tensors import COPIES_FLOOR


@contextmanager
def little_memory() -> Iterator[None]:
    """Fails when the body takes more than twice what copies of a small file's tensors may."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * COPIES_FLOOR
