from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from isotune.equivalence.certificates.certificate import Place
from isotune.equivalence.comparing.compare import compare
from isotune.equivalence.comparing.rounding import distance
from isotune.equivalence.local.differences import LocalDifference, LocalDifferences
from isotune.equivalence.traces.sampling import SAMPLES, values_of
from isotune.equivalence.traces.trace import ITSELF, Drift, Trace, TracedStep
from isotune.interfaces.tracer import Layer
from made_traces import SHAPES, array, full_step, full_trace, made_side, values

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]

ROUNDED = 3e-7
WRONG = 0.5


def noise(relative: float) -> Change:
    """Returns a change of every number by about a share of it."""
    generator = np.random.default_rng(3)
    return lambda one: np.asarray(one * (1 + relative * generator.standard_normal(one.shape)), "f4")


def step(changes: dict[str, Change]) -> TracedStep:
    """Returns the step of a side in which everything is rounded, and some values are changed."""
    rounded = {
        name: values_of(name, changes.get(name, noise(ROUNDED))(array(name, shape)))
        for name, shape in SHAPES.items()
    }
    return full_step(values=rounded)


def other_side(changes: dict[str, Change] | None = None, **fields: object) -> Trace:
    usual = {"side": made_side("other"), "steps": (step(changes or {}), full_step(1))}
    return full_trace(**{**usual, **fields})


def place(changes: dict[str, Change], local: LocalDifferences | None = None) -> Place:
    found = compare(full_trace(), other_side(changes), local).place
    assert found is not None
    return found


def off(*names: str) -> dict[str, Change]:
    return {name: noise(WRONG) for name in names}


def test_rounding_is_equal():
    found = compare(full_trace(), other_side())
    assert (found.verdict, found.place, found.same_start) == ("equal", None, True)
    assert [value.key for value in found.steps[0].values] == list(SHAPES)


def test_rounding_is_a_share_of_the_yardstick():
    apart = other_side({"forward/bn": noise(5e-6)})
    assert compare(full_trace(), apart).verdict == "differs"
    knows = full_step(yardsticks={"1 ulp": {"forward/bn": 2e-6}})
    assert compare(full_trace(steps=(knows,)), apart).verdict == "equal"


FOLLOWING = ["forward/act", "forward/fc", "forward/", "loss/logits", "loss/loss", "backward/fc"]


@pytest.mark.parametrize(
    ("names", "stage", "name", "path"),
    [
        (["input/images", "forward/conv"], "input", "images", None),
        (["forward/bn", *FOLLOWING], "forward", "bn", "bn"),
        (["forward/", "loss/logits"], "forward", "", ""),
        (["loss/loss", "backward/fc"], "loss", "loss", None),
        (["backward/conv", "gradient/fc.weight"], "backward", "conv", "fc"),
        (["gradient/fc.weight", "update/fc.weight"], "gradient", "fc.weight", "fc"),
        (["update/fc.weight", "state/fc.weight"], "update", "fc.weight", "fc"),
        (["state/fc.weight/momentum_buffer"], "state", "fc.weight/momentum_buffer", "fc"),
    ],
)
def test_the_first_value_that_is_off_is_the_place(
    names: list[str], stage: str, name: str, path: str | None
):
    found = place(off(*names))
    assert (found.stage, found.name, found.path) == (stage, name, path)
    assert found.difference is not None and found.allowed is not None
    assert found.difference > found.allowed


def test_a_place_shows_both_sides_and_the_settings_that_differ():
    changed = (Layer("bn", "BatchNorm2d", {"eps": 1e-3, "momentum": 0.1, "only": 1}),)
    found = compare(full_trace(), other_side(off("forward/bn"), layers=changed)).place
    assert found is not None and found.summaries is not None
    assert found.kind == "BatchNorm2d"
    assert found.settings == ({"eps": 1e-5}, {"eps": 1e-3})
    assert [each["shape"] for each in found.summaries] == ["4 x 8 x 8 x 8"] * 2


def local(**off_by_key: float) -> LocalDifferences:
    keys = ["output/conv", "output/bn", "output/act", "output/fc", "output/"]
    keys += ["inputs/fc/0", "parameters/fc.weight/fc"]
    found = {name: LocalDifference(2e-7, 1e-7) for name in keys}
    wrong = {name: LocalDifference(size, 1e-7) for name, size in off_by_key.items()}
    return LocalDifferences(0, {**found, **wrong})


def test_a_layer_that_passes_on_a_difference_is_not_blamed():
    found = place(off("forward/conv", "forward/bn", *FOLLOWING), local(**{"output/act": WRONG}))
    assert (found.stage, found.path, found.difference) == ("forward", "act", WRONG)


def test_a_block_is_blamed_only_if_none_of_its_parts_is():
    inside = local(**{"output/": WRONG, "output/act": WRONG})
    found = compare(full_trace(), other_side(off(*FOLLOWING)), inside)
    assert found.place is not None and (found.place.path, found.others) == ("act", ())
    assert place(off("forward/", "loss/logits"), local(**{"output/": WRONG})).path == ""


def test_a_layer_alone_shows_what_sums_up_unseen():
    found = place({}, local(**{"inputs/fc/0": WRONG}))
    assert (found.stage, found.path) == ("backward", "fc")


def test_layers_that_differ_alone_are_further_places():
    two = local(**{"output/bn": WRONG, "output/act": WRONG, "parameters/fc.weight/fc": WRONG})
    found = compare(full_trace(), other_side(off(*FOLLOWING)), two)
    assert [each.path for each in (found.place, *found.others) if each] == ["bn", "act", "fc"]


def test_a_gradient_that_only_one_side_has_is_a_place_unless_it_is_zero():
    def with_bias(size: float) -> Trace:
        bias = values_of("gradient/fc.bias", np.full(3, size, np.float32))
        return other_side(steps=(replace(step({}), values={**values(), "gradient/fc.bias": bias}),))

    assert compare(full_trace(), with_bias(0)).verdict == "equal"
    found = compare(full_trace(), with_bias(1)).place
    assert found is not None and (found.stage, found.name) == ("gradient", "fc.bias")


def test_a_layer_that_only_one_side_has_is_not_blamed():
    extra = {**step({}).values, "forward/fc.inner": values_of("x", np.ones(3, np.float32))}
    found = compare(full_trace(), other_side(steps=(full_step(values=extra),)))
    assert (found.verdict, found.steps[0].missing) == ("equal", ("forward/fc.inner",))
    assert any("forward/fc.inner" in note for note in found.notes)


EXPERIMENT = full_trace().experiment


@pytest.mark.parametrize(
    ("fields", "stage", "name", "cause"),
    [
        (
            {"classes": ("bees", "ants", "cats")},
            "experiment",
            "classes",
            "another order: label 0 is 'ants' with",
        ),
        (
            {"experiment": {**EXPERIMENT, "optimizer": {"name": "sgd", "lr": 0.2}}},
            *("experiment", "optimizer.lr", "0.1 with numpy on cpu and 0.2 with other on cpu"),
        ),
        ({"steps": (full_step(batch="f" * 64),)}, "batch", "", None),
        ({"start": {"fc.weight": "a" * 64, "conv.weight": "c" * 64}}, "start", "conv.weight", ""),
        ({"start": {"conv.weight": "b" * 64}}, "start", "fc.weight", "Only numpy on cpu has"),
    ],
)
def test_what_differs_before_the_first_step(
    fields: dict[str, object], stage: str, name: str, cause: str | None
):
    found = compare(full_trace(), other_side(**fields)).place
    assert found is not None and (found.stage, found.name) == (stage, name)
    assert cause is None or cause in (found.cause or "")


def test_what_a_side_may_choose_does_not_differ():
    chosen = {**EXPERIMENT, "name": "b", "precision": "fp32", "compile": True, "workers": 1}
    assert compare(full_trace(), other_side(experiment=chosen)).verdict == "equal"


def test_outputs_of_another_size_part():
    """Of the same size they may be laid out otherwise, as those of a mean over height and width."""

    def with_shape(shape: tuple[int, ...]) -> Trace:
        one = full_step()
        changed = {"forward/conv": replace(one.values["forward/conv"], shape=shape)}
        return other_side(steps=(replace(one, values={**one.values, **changed}),))

    found = compare(full_trace(), with_shape((4, 8, 7, 7))).place
    assert found is not None and (found.stage, found.path) == ("forward", "conv")
    assert "8 x 8 in numpy on cpu and 7 x 7 in other on cpu" in (found.cause or "")
    assert compare(full_trace(), with_shape((4, 8, 64))).place is None


def test_what_is_off_before_an_output_of_another_size_is_the_place():
    one = step(off("forward/conv"))
    changed = {"forward/act": replace(one.values["forward/act"], shape=(4, 8, 7, 7))}
    both = other_side(steps=(replace(one, values={**one.values, **changed}),))
    found = compare(full_trace(), both).place
    assert found is not None and found.path == "conv"


def test_a_compiled_step_that_computes_another_loss():
    compiled = replace(full_step(loss=3.0), watched=False)
    found = compare(full_trace(), other_side(steps=(compiled,)))
    assert found.place is not None and found.place.stage == "compilation"
    (note,) = (note for note in found.notes if "layer by layer" in note)
    assert "the same bytes" not in note
    same = other_side(steps=(replace(full_step(), watched=False, same_logits=True),))
    assert any("the same bytes either way" in note for note in compare(full_trace(), same).notes)


def drift(*between: float, own: float = 1e-7) -> tuple[Drift, Drift]:
    """Returns the drift of two sides, each of which differs from itself ten times more per step."""
    run = np.random.default_rng(1).standard_normal((len(between), 100)).astype(np.float32)
    apart = noise(1)(np.ones_like(run)) - 1

    def of(shares: list[float]) -> NDArray[np.float32]:
        return np.asarray(run * (1 + apart * np.array(shares)[:, None]), np.float32)

    nudged = of([own * 10**n for n in range(len(between))])
    losses = {ITSELF: run[:, 0], "1 ulp": run[:, 0]}
    return Drift(losses, {ITSELF: run, "1 ulp": nudged}), Drift(
        losses, {ITSELF: of(list(between)), "1 ulp": of(list(between))}
    )


@pytest.mark.parametrize(
    ("between", "own", "verdict"),
    [
        ((0, 1e-7, 1e-7, 2e-7), 1e-7, "equal"),
        ((3e-7, 3e-6, 3e-5, 3e-4), 1e-7, "equal up to chaos"),
        ((1.4e-5, 7.9e-5, 2.9e-4, 6.4e-4), 7e-5, "equal up to chaos"),
        ((3e-7, 3e-6, 3e-2, 3e-1), 1e-7, "differs"),
    ],
)
def test_drift_is_held_against_the_drift_of_a_side_from_itself(
    between: tuple[float, ...], own: float, verdict: str
):
    one, other = drift(*between, own=own)
    found = compare(full_trace(drift=one), other_side(drift=other))
    assert found.verdict == verdict
    if found.place is not None:
        assert (found.place.stage, found.place.step) == ("drift", 2)


def test_flips_have_their_margins():
    one, other = full_trace(), other_side()
    assert one.predictions is not None
    logits = np.array([[0.5, 0.4, 0], [0, 1, 0]], np.float32)
    near = np.array([[0.4, 0.5, 0], [0, 2, 0]], np.float32)
    first = replace(one.predictions, logits={ITSELF: logits, "1 ulp": logits})
    second = replace(one.predictions, logits={ITSELF: near, "1 ulp": logits})
    found = compare(replace(one, predictions=first), replace(other, predictions=second)).predictions
    assert found is not None and found.own_flips == (0, 1)
    assert found.largest_difference == 1
    flip = found.flips[0]
    assert (flip.image, flip.predicted) == (0, ("ants", "bees"))
    assert flip.margin == pytest.approx(0.1) and flip.noise == pytest.approx(0.1)


def test_an_evaluation_that_computes_something_else_is_found_in_the_predictions():
    one, other = full_trace(), other_side()
    assert one.predictions is not None
    logits = one.predictions.logits[ITSELF]
    first = replace(one.predictions, logits={ITSELF: logits, "1 ulp": noise(1e-6)(logits)})
    for apart, stage in ((1e-5, None), (1e-2, "predictions")):
        found = noise(apart)(logits)
        second = replace(one.predictions, logits={ITSELF: found, "1 ulp": noise(1e-6)(found)})
        place = compare(replace(one, predictions=first), replace(other, predictions=second)).place
        assert (place and place.stage) == stage


@given(st.sampled_from(sorted(SHAPES)), st.floats(1e-30, 1e30), st.integers(0, 2**32 - 1))
def test_a_value_is_as_far_from_another_as_the_whole_arrays_are(name: str, scale: float, seed: int):
    generator = np.random.default_rng(seed)
    one = scale * generator.standard_normal(SHAPES[name]).astype("f4")
    other = one + generator.choice([0, scale], one.shape).astype("f4")
    kept = values_of(name, one), values_of(name, other)
    found = distance(*kept)
    assert found == distance(*reversed(kept))
    if one.size <= SAMPLES:
        size = max(np.linalg.norm(np.float64(each)) for each in (one, other))
        assert found == pytest.approx(np.linalg.norm(np.float64(one) - other) / size)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_none_on_one_side_is_off(bad: float):
    def spoiled(values: NDArray[np.float32]) -> NDArray[np.float32]:
        values = values.copy()
        values.reshape(-1)[0] = bad
        return values

    assert place({"forward/act": spoiled}).path == "act"


def test_a_step_of_float16_that_overflows_is_named():
    def overflowing(precision: str) -> list[str]:
        one = full_step()
        name = "gradient/fc.weight"
        broken = {**one.values, name: replace(one.values[name], norm=float("inf"))}
        side = made_side(precision=precision)
        trace = full_trace(side=side, steps=(replace(one, values=broken),))
        return [
            note for note in compare(trace, trace).notes if "overflow float16 in step 0" in note
        ]

    assert len(overflowing("fp16")) == 2
    assert not overflowing("bf16")


def test_values_that_may_differ_by_anything_are_named():
    one = full_step()
    wild = {"1 ulp": {**dict.fromkeys(one.values, 1e-7), "backward/conv": 0.8}}
    trace = full_trace(side=made_side(precision="bf16"), steps=(replace(one, yardsticks=wild),))
    (note,) = (note for note in compare(trace, trace).notes if "any difference" in note)
    assert "1 value (backward/conv) of step 0" in note and "of 0 of them the layer" in note
