"""Traces made by hand."""

from __future__ import annotations

from typing import Any

from isotune.equivalence.trace import Side, Trace, TracedStep


def made_side(backend: str = "numpy", **changes: Any) -> Side:
    """Returns a side of one process on a CPU."""
    usual: dict[str, Any] = {
        "backend": backend,
        "device": "cpu",
        "precision": "fp32",
        "compile": False,
        "processes": 1,
        "threads": 2,
        "versions": {},
        "machine": {},
    }
    return Side(**{**usual, **changes})


def made_step(step: int = 0, **changes: Any) -> TracedStep:
    """Returns a training step; without changes nothing is known of it."""
    usual: dict[str, Any] = {
        "step": step,
        "batch": "0" * 64,
        "learning_rate": 0.1,
        "loss": 1.0,
        "watched": True,
        "values": {},
    }
    return TracedStep(**{**usual, **changes})


def made_trace(*steps: TracedStep, backend: str = "numpy", **changes: Any) -> Trace:
    """Returns the trace of a side that has made these steps."""
    usual: dict[str, Any] = {
        "side": made_side(backend),
        "experiment": {},
        "classes": ("ants", "bees"),
        "start": {},
        "layers": (),
        "steps": steps or (made_step(),),
    }
    return Trace(**{**usual, **changes})
