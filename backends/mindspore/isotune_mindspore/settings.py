"""MindSpore's settings of the process: what a run does not change, and what it does for good.

A process has one device, which the first backend or operation chooses. On a CPU, MindSpore's own
oneDNN is limited to AVX2 from then on (:mod:`isotune_mindspore.onednn`), and freed memory is kept
(:mod:`isotune.storage.memory`). MindSpore has no way back from any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import mindspore as ms

from isotune_mindspore.step import pynative_mode


@contextmanager
def default_settings() -> Iterator[None]:
    """Computes in PyNative mode, where a step compiles itself; then restores the mode and seed.

    Isotune draws no number from MindSpore. A third party's model may: initializers draw from
    NumPy, whose state the core restores, but the counters of MindSpore's random operations cannot
    be read, and a seed that was never set cannot be unset.
    """
    seed = ms.get_seed()
    try:
        with pynative_mode():
            yield
    finally:
        if seed is not None and ms.get_seed() != seed:
            ms.set_seed(seed)
