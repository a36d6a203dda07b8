"""Certificates made by hand, of the traces in :mod:`made_traces`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from isotune.equivalence.certificates.certificate import (
    Certificate,
    Compared,
    ComparedDrift,
    ComparedPredictions,
    ComparedStep,
    Flip,
    Place,
)
from made_traces import made_side

LAYERS = [
    f"layer{stage}.{block}.conv{n}" for stage in (1, 2, 3) for block in (0, 1) for n in (1, 2)
]


def names() -> list[str]:
    """Returns the names of a step's values of a small residual network, in order of execution."""
    parameters = [f"{layer}.weight" for layer in LAYERS]
    backward = [f"backward/{layer}" for layer in reversed(LAYERS)]
    after = [f"{stage}/{name}" for stage in ("gradient", "update", "state") for name in parameters]
    forward = [f"forward/{layer}" for layer in LAYERS]
    return ["input/images", *forward, "loss/logits", "loss/loss", *backward, *after]


def compared(off: str | None = None, factor: float = 1e4) -> tuple[Compared, ...]:
    """Returns values whose differences add up, from `off` on by much."""
    generator, made, wrong = np.random.default_rng(3), [], False
    for depth, name in enumerate(names()):
        wrong = wrong or name == off
        yardstick = 0.0 if name == "input/images" else 2e-7 * (1 + depth / 8)
        noise = float(generator.uniform(0.2, 1.2))
        local = None
        if name.startswith(("forward/", "backward/")):
            local = 1e-7 * noise * (factor if name == off else 1)
        made.append(
            Compared(
                key=name,
                difference=yardstick * noise * (factor if wrong else 1),
                yardstick=yardstick,
                allowed=max(4 * yardstick, 1e-7),
                local=local,
                local_allowed=None if local is None else 1e-6,
            )
        )
    return tuple(made)


def made_drift(factor: float = 1.2) -> ComparedDrift:
    """Returns a drift of eight steps that grows by half in each; between sides by `factor` more."""
    own = [1e-6 * 1.5**step for step in range(8)]
    first = {"1 ulp": tuple(own), "1 thread": tuple(each / 2 for each in own)}
    second = {"1 ulp": tuple(0.8 * each for each in own)}
    losses = tuple(1.1 - 0.05 * step for step in range(8))
    return ComparedDrift(
        between=tuple(factor * each for each in own),
        themselves=(first, second),
        losses=(losses, tuple(each + 1e-5 for each in losses)),
        allowed=tuple(10 * each for each in own),
    )


def equal(**changes: Any) -> Certificate:
    """Returns a certificate of two sides that compute the same."""
    sides = (
        made_side("numpy", versions={"numpy": "2.0.0", "isotune": "0.4.0"}, threads=8),
        made_side("tensors", versions={"numpy": "2.0.0", "isotune": "0.4.0", "tensors": "3.1"}),
    )
    made = Certificate(
        sides=sides,
        verdict="equal",
        same_start=True,
        steps=(ComparedStep(0, True, (1.25, 1.2500001), compared()),),
        drift=made_drift(),
        predictions=ComparedPredictions(256, True, 3.1e-4, (), (0, 0)),
    )
    return replace(made, **changes)


def chaotic() -> Certificate:
    """Returns a certificate of two sides that are equal up to chaos, with an image that flips."""
    flip = Flip(image=17, predicted=("ants", "bees"), margin=2.1e-4, noise=3.0e-4)
    predictions = ComparedPredictions(256, True, 3.1e-4, (flip,), (1, 2))
    return equal(verdict="equal up to chaos", drift=made_drift(3.0), predictions=predictions)


def different() -> Certificate:
    """Returns a certificate of two sides that differ by the padding of a convolution."""
    off = "forward/layer2.0.conv1"
    step = ComparedStep(0, True, (1.25, 1.3125), compared(off), missing=("forward/layer3.pool",))
    found = next(each for each in step.values if each.key == off)
    text = {"shape": "4 x 8 x 8 x 8", "norm": "40.91", "first samples": "0.17, -0.08, 1.2"}
    place = Place(
        stage="forward",
        name="layer2.0.conv1",
        step=0,
        path="layer2.0.conv1",
        kind="Conv2d",
        difference=found.difference,
        allowed=found.allowed,
        summaries=(text, {**text, "norm": "38.77"}),
        settings=({"padding": (1, 1)}, {"padding": (0, 0)}),
        cause="the padding differs: (1, 1) and (0, 0).",
    )
    return equal(
        verdict="differs",
        steps=(step,),
        drift=made_drift(400.0),
        place=place,
        others=(Place("update", "layer3.1.conv2.weight", 0, difference=0.5, allowed=1e-6),),
        notes=("1 value was not compared: only one side has it.",),
    )
