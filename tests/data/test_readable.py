from __future__ import annotations

import threading
from collections import Counter, deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isotune.data.batches import AHEAD
from isotune.data.readable import Outcomes, readable_batches
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.spec.load import load_spec
from tiny import experiment

SIZE = 3


class Gray(ImageSource):
    """Images as bright as their index, some of which cannot be read; counts what is read."""

    def __init__(self, readable: list[bool]) -> None:
        self.classes = ("only",)
        self.labels = np.zeros(len(readable), np.int32)
        self.loaded: Counter[int] = Counter()
        self._readable = readable
        self._lock = threading.Lock()

    def load(self, index: int) -> Image.Image:
        with self._lock:
            self.loaded[index] += 1
        if not self._readable[index]:
            raise DatasetError(f"{index}: cannot be read.")
        return Image.new("RGB", (8, 8), (index,) * 3)

    def identify(self, index: int) -> str:
        return str(index)


def spec(tmp: str = "nowhere"):
    return load_spec(experiment(tmp))  # type: ignore[arg-type]


@given(st.lists(st.booleans(), max_size=30))
def test_the_readable_are_batched_in_order_and_the_others_told(readable: list[bool]):
    outcomes: Outcomes = deque()
    source = Gray(readable)
    batches, known = [], 0
    for batch in readable_batches(source, spec(), SIZE, outcomes):
        batches.append(batch)
        known += len(batch)
        assert sum(outcome is None for outcome in outcomes) == known
    found = [int(image[0, 0, 0]) for batch in batches for image in batch.images]
    assert found == [index for index, good in enumerate(readable) if good]
    assert all(len(batch) == SIZE for batch in batches[:-1])
    told = [None if outcome is None else str(outcome) for outcome in outcomes]
    assert told == [None if good else f"{i}: cannot be read." for i, good in enumerate(readable)]
    assert source.loaded == Counter(range(len(readable))), "each is read once"


def test_no_more_is_read_than_a_few_batches_ahead():
    source = Gray([True] * 100)
    batches = readable_batches(source, spec(), SIZE, deque())
    next(batches)
    batches.close()
    assert len(source.loaded) <= (1 + AHEAD) * SIZE
