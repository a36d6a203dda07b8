"""Keeps a run and its caller's settings of the process apart."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np

from isotune.interfaces.backend import Backend

T = TypeVar("T")


@contextmanager
def isolated(backend: Backend) -> Iterator[None]:
    """Gives Python, NumPy and the backend's framework their default settings, then the caller's.

    Those are the states of random number generators, NumPy's treatment of floating-point errors,
    and what :meth:`Backend.isolated` adds.
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with (
            np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
            backend.isolated(),
        ):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def each_isolated(backend: Backend, items: Iterator[T]) -> Iterator[T]:
    """Yields `items`, each of which is made with default settings.

    Between them, the caller has its own.
    """
    while True:
        with isolated(backend):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item
