"""Likely causes of a difference, where what it looks like is known.

A cause is a function of :class:`isotune.equivalence.causes.evidence.Evidence` that returns a
sentence or None. It says what the arrays fit, never more. To add one, write the function and name
it in :data:`CAUSES`.
"""

from __future__ import annotations

from collections.abc import Callable

from isotune.equivalence.causes.evidence import Evidence
from isotune.equivalence.causes.settings import differing_precision, differing_settings
from isotune.equivalence.certificate import Place
from isotune.equivalence.local import LocalDifferences
from isotune.equivalence.trace import Trace

Cause = Callable[[Evidence], str | None]

CAUSES: tuple[Cause, ...] = (differing_settings, differing_precision)
"""All known causes, those that say most first."""


def likely_cause(
    place: Place, one: Trace, other: Trace, local: LocalDifferences | None = None
) -> str | None:
    """Returns a sentence on a likely cause of a difference, or None where none fits.

    Args:
        place: Where the sides part.
        one: The first side's trace; with `local`, the recorded one.
        other: The other side's trace; with `local`, the live one.
        local: The live side's local differences, if there are any.
    """
    evidence = Evidence(place, (one, other), local)
    return next((found for cause in CAUSES if (found := cause(evidence))), None)
