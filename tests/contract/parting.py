"""Where backends part on a backbone that is not the truth's, for the report of a failed test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contract.agreement import TINY_RATE, plan_of
from contract.installed import subjects
from isotune.equivalence.certificates.report import place_text
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.recording.live import Step
from isotune.interfaces.trainer import StepPlan
from isotune.testing.places import trace_of
from isotune.testing.subject import Learner, Subject


@contextmanager
def place_shown(subject: Subject, learner: Callable[[Subject], Learner]) -> Iterator[None]:
    """Where a comparison within the context fails, says where other backends compute another thing.

    Args:
        subject: The backend and the backbone.
        learner: Returns a backend's new model in the same state, with a trainer.
    """
    try:
        yield
    except AssertionError as error:
        others = [
            each
            for each in subjects().values()
            if each.entry.name == subject.entry.name and each.backend is not subject.backend
        ]
        places = [place_between(subject, other, learner) for other in others]
        error.args = ("\n\n".join([str(error), *places]),)
        raise


def place_between(one: Subject, other: Subject, learner: Callable[[Subject], Learner]) -> str:
    """Returns where a training step of two backends parts, as text."""
    names = f"{one.backend.name} (side 1) and {other.backend.name} (side 2)"
    steps = [Step(one.images, (StepPlan(0, TINY_RATE),))]
    try:
        traces = [trace_of(learner(each), plan_of(each), steps) for each in (one, other)]
        place = compare(*traces).place
    except Exception as error:  # what is broken must not hide what has failed
        return f"isotune.equivalence cannot compare {names}: {type(error).__name__}: {error}"
    if place is None:
        return f"isotune.equivalence finds no place where {names} part."
    blamed = f"\n  layer: '{place.path}' ({place.kind})" if place.path else ""
    return f"isotune.equivalence compares {names}. {place_text(place)}{blamed}"
