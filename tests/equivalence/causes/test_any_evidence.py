"""Whatever two traces say, looking for a cause ends with a sentence or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isotune.equivalence.causes import likely_cause
from isotune.equivalence.certificates.certificate import Place
from isotune.equivalence.local.differences import LocalDifferences
from isotune.equivalence.traces.sampling import values_of
from isotune.equivalence.traces.trace import STAGES
from isotune.interfaces.tracer import Layer, LayerRun
from isotune.printable import printable
from made_traces import made_step, made_trace

GRADIENT = "parameters/fc.weight/fc"
CLIPPING = st.sampled_from([None, 1, "x"])
KINDS = st.sampled_from(
    [
        *("Conv2d", "Linear", "BatchNorm2d", "LayerNorm", "LayerNorm2d", "GELU", "ReLU", "Block"),
        *("Dropout", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d"),
    ]
)
SHAPES = st.sampled_from(
    [
        (),
        (0,),
        (3,),
        (2, 3),
        (3, 3),
        (3, 4, 3),
        (2, 3, 4, 4),
        (2, 3, 1, 1),
        (3, 3, 3, 3),
        (0, 3, 4, 4),
    ]
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "kernel_size": st.sampled_from([3, (3, 3), (0, 0), (1,), "same"]),
        "stride": st.sampled_from([1, (2, 2), (0, 0)]),
        "padding": st.sampled_from([1, (1, 1), (0, 1, 0, 1), "same", (9, 9)]),
        "eps": st.sampled_from([1e-5, 0.0, 1]),
        "p": st.sampled_from([0.5, 0, 1.0, "half"]),
        "momentum": st.sampled_from([0.1, 0.0, 1.0]),
    },
)
NUMBERS = st.sampled_from([0.0, 1.0, -2.5, 1e30, float("nan"), float("inf")])


@st.composite
def arrays(draw: Any) -> np.ndarray:
    shape, number = draw(SHAPES), draw(NUMBERS)
    found = np.random.default_rng(draw(st.integers(0, 3))).normal(size=shape).astype(np.float32)
    return found if draw(st.booleans()) else np.full(shape, number, np.float32)


@st.composite
def evidence(draw: Any) -> tuple[Any, ...]:
    """Draws a place, and what two sides have of it."""
    stage = draw(st.sampled_from(["experiment", "batch", "start", "drift", *STAGES]))
    name = draw(
        st.sampled_from(
            ["fc", "fc.weight", "fc.running_var", "fc.weight/exp_avg", "", "loss", "images"]
        )
    )
    keys = [
        *(f"{stage}/{name}", "input/images", "loss/logits", "backward/", "forward/fc"),
        *(f"{kind}/fc.weight" for kind in ("gradient", "update", "state")),
        *("state/fc.weight/exp_avg", "state/fc.bias", "state/fc.running_var"),
    ]
    kept = st.dictionaries(st.sampled_from(keys), arrays())
    whole = draw(
        st.dictionaries(st.sampled_from(["inputs/fc/0", "inputs/fc/1", "forward/fc"]), arrays())
    )
    optimizer = draw(st.sampled_from([{"name": "sgd", "momentum": 0.9}, {"name": "adam"}, 3, None]))
    traces = [
        made_trace(
            made_step(
                values={at: values_of(at, each) for at, each in draw(kept).items()},
                whole=whole,
                runs={
                    "parameters/fc.weight/fc": values_of("parameters/fc.weight/fc", draw(arrays()))
                },
            ),
            experiment={
                "optimizer": optimizer,
                "clip_grad_norm": draw(CLIPPING),
            },
            layers=(Layer("fc", draw(KINDS), draw(SETTINGS), draw(st.booleans())),),
            start={"fc.weight": "0"},
        )
        for _ in range(2)
    ]
    names = ("fc.weight", "fc.bias", "fc.running_mean", "fc.running_var")
    run = LayerRun(draw(arrays()), (draw(arrays()), None), {"fc.weight": draw(arrays())})
    local = LocalDifferences(
        0, {}, runs={"fc": run}, state=draw(st.dictionaries(st.sampled_from(names), arrays()))
    )
    step = None if stage in ("experiment", "start") else 0
    place = Place(stage, name, step, path=draw(st.sampled_from(["fc", "", None])))
    return place, *traces, draw(st.sampled_from([local, None]))


@settings(max_examples=150, deadline=None)
@given(evidence())
@pytest.mark.filterwarnings("error")
def test_any_evidence(drawn: tuple[Any, ...]):
    found = likely_cause(*drawn)
    assert found is None or (found.endswith(".") and printable(found) == found)
