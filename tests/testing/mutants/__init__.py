"""Broken copies of the example backend: each has a mistake that somebody makes once.

A mutant is a function of :class:`pytest.MonkeyPatch`, called ``patch``, that breaks one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

import pytest

from testing.mutants import (
    data_and_losses,
    explanations,
    layers_and_freezing,
    optimizers_and_steps,
    shards,
    state_and_heads,
    traces,
)

MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    name: function
    for module in (
        data_and_losses,
        optimizers_and_steps,
        layers_and_freezing,
        shards,
        state_and_heads,
        explanations,
        traces,
    )
    for name, function in vars(module).items()
    if callable(function)
    and function.__module__ == module.__name__
    and list(signature(function).parameters) == ["patch"]
}

LEVELS = {
    name: level
    for module, level in ((explanations, "Explaining"), (traces, "Tracing"))
    for name in vars(module)
    if name in MUTANTS
}
"""Names of the levels whose tests find a mutant first, where that is not the first level."""
