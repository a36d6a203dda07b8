"""Plain functions that are notified of a run."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TypedDict

from isotune.errors import SpecError, nearest
from isotune.interfaces.events import EpochEnded, RunEnded, RunFinished, RunStarted, StepEnded


class Functions(TypedDict, total=False):
    """Functions by the event that they are called with: :mod:`isotune.interfaces.events`."""

    on_run_started: Callable[[RunStarted], object]
    on_step_ended: Callable[[StepEnded], object]
    on_epoch_ended: Callable[[EpochEnded], object]
    on_run_finished: Callable[[RunFinished], object]
    on_run_ended: Callable[[RunEnded], object]


def as_observers(functions: Functions) -> tuple[object, ...]:
    """Returns an observer that calls the functions, or none.

    Raises:
        SpecError: There is no such event, or something cannot be called.
    """
    known = Functions.__annotations__
    methods = {}
    for name, function in functions.items():
        if name not in known:
            raise SpecError(
                f"there is no argument '{name}'.{nearest(name, known)} Functions are called"
                f" {', '.join(known)}."
            )
        if not callable(function):
            raise SpecError(f"{name}: is {function!r}, but should be a function of the event.")
        methods[f"isotune_{name.removeprefix('on_')}"] = _method(function)
    return (SimpleNamespace(**methods),) if methods else ()


def _method(function: Callable[[object], object]) -> Callable[..., None]:
    def notify(*, event: object) -> None:
        function(event)

    return notify
