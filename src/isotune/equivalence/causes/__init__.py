"""Likely causes of a difference, where what it looks like is known.

A cause is a function of :class:`isotune.equivalence.causes.evidence.Evidence` that returns a
sentence or None. It says what the arrays fit, never more. To add one, write the function and name
it in :data:`CAUSES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isotune.equivalence.causes.activations import other_activation
from isotune.equivalence.causes.before_the_step import (
    other_batch,
    swapped_tensors,
)
from isotune.equivalence.causes.blocks import other_residual
from isotune.equivalence.causes.borders import at_the_border, other_size
from isotune.equivalence.causes.convolutions import other_product
from isotune.equivalence.causes.dropouts import other_dropout
from isotune.equivalence.causes.evidence import Evidence
from isotune.equivalence.causes.losses import other_loss
from isotune.equivalence.causes.norms import other_epsilon, other_mode
from isotune.equivalence.causes.offsets import other_bias
from isotune.equivalence.causes.optimizers import other_rule
from isotune.equivalence.causes.pools import other_pooling
from isotune.equivalence.causes.relations import (
    constant_factor,
    low_precision,
    not_finite,
    other_order,
    stands_still,
    zero_on_one_side,
)
from isotune.equivalence.causes.settings import differing_precision, differing_settings
from isotune.equivalence.causes.statistics import other_statistics
from isotune.equivalence.certificates.certificate import Place
from isotune.equivalence.local.differences import LocalDifferences
from isotune.equivalence.traces.trace import Trace

Cause = Callable[[Evidence], str | None]

CAUSES: tuple[Cause, ...] = (
    not_finite,
    swapped_tensors,
    other_batch,
    differing_settings,
    other_size,
    other_loss,
    other_mode,
    other_epsilon,
    other_product,
    other_bias,
    other_pooling,
    other_activation,
    other_dropout,
    other_residual,
    at_the_border,
    other_rule,
    other_statistics,
    stands_still,
    zero_on_one_side,
    constant_factor,
    other_order,
    low_precision,
    differing_precision,
)
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
    # NaN, infinity and zeros are what one looks at; what they lead to fits nothing.
    with np.errstate(all="ignore"):
        return next((found for cause in CAUSES if (found := cause(evidence))), None)
