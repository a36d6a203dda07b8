"""Traces made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isotune.equivalence.traces.sampling import Values, values_of
from isotune.equivalence.traces.trace import ITSELF, Drift, Predictions, Side, Trace, TracedStep
from isotune.interfaces.tracer import Layer


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


LAYERS = (
    Layer("", "Net", leaf=False),
    Layer("conv", "Conv2d", {"stride": (2, 2), "padding": (1, 1), "bias": False}),
    Layer("bn", "BatchNorm2d", {"eps": 1e-5, "momentum": 0.1}),
    Layer("act", "GELU", {"approximate": "none"}),
    Layer("fc", "Linear"),
)

SHAPES = {
    "input/images": (4, 3, 16, 16),
    "forward/conv": (4, 8, 8, 8),
    "forward/bn": (4, 8, 8, 8),
    "forward/act": (4, 8, 8, 8),
    "forward/fc": (4, 3),
    "forward/": (4, 3),
    "loss/logits": (4, 3),
    "loss/loss": (),
    "backward/fc": (4, 3),
    "backward/conv": (4, 8, 8, 8),
    "gradient/fc.weight": (3, 512),
    "update/fc.weight": (3, 512),
    "state/fc.weight": (3, 512),
    "state/fc.weight/momentum_buffer": (3, 512),
}
"""Names and shapes of the values of a step, in order of execution."""


def array(name: str, shape: tuple[int, ...], noise: float = 0.0) -> NDArray[np.float32]:
    """Returns the value of a name, with relative noise."""
    seed = sum(name.encode())
    made = np.random.default_rng(seed).standard_normal(shape)
    return np.asarray(made * (1 + noise), np.float32)


def values(noise: float = 0.0) -> dict[str, Values]:
    """Returns what a trace keeps of all values."""
    return {name: values_of(name, array(name, shape, noise)) for name, shape in SHAPES.items()}


def full_step(step: int = 0, **changes: Any) -> TracedStep:
    """Returns a training step with the values of :data:`SHAPES`."""
    yardsticks = {"1 ulp": dict.fromkeys(SHAPES, 1e-7), "1 thread": {"forward/fc": 2.5e-8}}
    usual = {"batch": f"{step:064x}", "loss": 1.25, "values": values(), "yardsticks": yardsticks}
    return made_step(step, **{**usual, **changes})


def full_trace(**changes: Any) -> Trace:
    """Returns a trace of two steps with all that a trace can have, except whole arrays."""
    generator = np.random.default_rng(7)
    changed = (ITSELF, "1 ulp")
    usual: dict[str, Any] = {
        "side": made_side(versions={"numpy": "2.0.0"}, machine={"processor": "AMD EPYC"}),
        "experiment": {
            "isotune": 1,
            "name": "tiny",
            "batch_size": 4,
            "optimizer": {"name": "sgd", "lr": 0.1},
        },
        "classes": ("ants", "bees", "cats"),
        "start": {"fc.weight": "a" * 64, "conv.weight": "b" * 64},
        "layers": LAYERS,
        "drift": Drift(
            {each: generator.random(8, np.float32) for each in changed},
            {each: generator.random((8, 100), np.float32) for each in changed},
        ),
        "predictions": Predictions(
            images="c" * 64,
            labels=np.array([0, 2, 1, 1, 0], np.int32),
            logits={each: generator.random((5, 3), np.float32) for each in changed},
        ),
    }
    steps = changes.pop("steps", (full_step(0), full_step(1, yardsticks={})))
    return made_trace(*steps, **{**usual, **changes})
