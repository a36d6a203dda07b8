from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from isotune.equivalence.local.differences import (
    LocalDifference,
    LocalDifferences,
    local_differences,
)
from isotune.equivalence.local.runs import Runner, nudged, run_layers
from isotune.equivalence.local.whole import WholeArrays
from isotune.equivalence.traces.trace import Trace, key
from isotune.interfaces.tracer import LayerRun
from isotune.interfaces.trainer import StepPlan, Trainer
from isotune.spec.values import Precision
from made_traces import made_step, made_trace
from single_layers import Array, Function, SingleLayers

PLAN = StepPlan(0, 0.1)
TRAINER = cast(Trainer, SimpleNamespace())
WEIGHT = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)


def linear(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
    (x,) = inputs
    if gradient is None:
        return LayerRun(x @ WEIGHT.T)
    return LayerRun(x @ WEIGHT.T, (gradient @ WEIGHT,), {"fc.weight": gradient.T @ x})


def added(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
    return LayerRun(inputs[0] + inputs[1], (gradient, gradient))


FUNCTIONS: dict[str, Function] = {"fc": linear, "add": added}


def forward(functions: Mapping[str, Function], whole: WholeArrays) -> Trace:
    """Returns the trace of a net that adds to `fc` its output of other inputs."""
    generator = np.random.default_rng(1)
    one, other = generator.normal(size=(2, 40, 30)).astype(np.float32)
    outputs = []
    for call, x in enumerate((one, other)):
        outputs.append(functions["fc"]([x], None).output)
        whole.keep_call("fc", call, [x], outputs[-1])
    total = functions["add"](outputs, None).output
    whole.keep_call("add", 0, outputs, total)
    for name in ("add", "fc:1", "fc"):
        whole.keep(key("backward", name), generator.normal(size=(40, 20)).astype(np.float32))
    return recorded(whole, SingleLayers(functions))


def recorded(whole: WholeArrays, tracer: SingleLayers, precision: Precision = "fp32") -> Trace:
    """Returns the trace of a side that has run its layers alone."""
    runs = run_layers(whole, Runner(tracer, TRAINER, PLAN, precision))
    return made_trace(made_step(whole=whole, runs=runs.values, run_yardsticks=runs.yardsticks))


def compared(**changes: Function) -> LocalDifferences:
    """Returns the local differences of a live side with these layers."""
    with WholeArrays() as whole:
        trace = forward(FUNCTIONS, whole)
        live = SingleLayers({**FUNCTIONS, **changes})
        state = {"fc.weight": WEIGHT, "add.none": WEIGHT}
        return local_differences(trace, Runner(live, TRAINER, PLAN), state)


def test_each_number_is_moved_to_a_neighbor():
    array = np.random.default_rng(0).normal(size=(5, 7, 11)).astype(np.float32)
    moved = nudged("fc", array)
    up = moved > array
    assert 100 < up.sum() < 285
    assert np.array_equal(
        np.nextafter(array, np.where(up, np.inf, -np.inf), dtype=np.float32), moved
    )
    assert np.array_equal(moved, nudged("fc", array))
    assert not np.array_equal(moved, nudged("conv", array))


def test_an_ulp_is_that_of_the_precision():
    array = np.random.default_rng(0).normal(size=(5, 7, 11)).astype(np.float32)
    by = abs(nudged("fc", array, 2**16) / array - 1)
    assert 2.0**-8 <= by.min() < by.max() <= 2.0**-7


def test_yardsticks_are_by_an_ulp_of_the_precision_and_by_variants():
    def reversed_sum(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        run = linear([inputs[0] * np.float32(1 + 1e-5)], gradient)
        return LayerRun(run.output, run.inputs, run.parameters)

    def yardsticks(precision: Precision, other: Mapping[str, Function] | None = None) -> Any:
        with WholeArrays() as whole:
            forward(FUNCTIONS, whole)
            tracer = SingleLayers(FUNCTIONS, other)
            return run_layers(whole, Runner(tracer, TRAINER, PLAN, precision)).yardsticks

    fine, coarse = yardsticks("fp32"), yardsticks("bf16")
    assert fine.keys() == coarse.keys()
    assert all(1e-9 < fine[at] < 1e-6 and 1e-4 < coarse[at] < 1e-2 for at in fine)
    varied = yardsticks("fp32", {"fc": reversed_sum})
    assert varied["output/fc"] == pytest.approx(1e-5, rel=0.1)
    assert varied["inputs/fc/0"] == fine["inputs/fc/0"]
    assert varied["parameters/fc.weight/fc"] == pytest.approx(1e-5, rel=0.1)
    assert varied["output/add"] == fine["output/add"]


def test_the_same_layers_differ_by_nothing_beside_what_rounding_makes():
    found = compared()
    assert list(found.values) == [
        "output/fc",
        "inputs/fc/0",
        "parameters/fc.weight/fc",
        "output/fc:1",
        "inputs/fc:1/0",
        "parameters/fc.weight/fc:1",
        "output/add",
        "inputs/add/0",
        "inputs/add/1",
    ]
    assert all(each.difference == 0 for each in found.values.values())
    assert all(1e-9 < each.yardstick < 1e-6 for each in found.values.values())
    assert not found.runs and not found.skipped


def test_a_layer_that_passes_an_earlier_difference_on_is_not_blamed():
    def scaled(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        run = linear(inputs, gradient)
        return LayerRun(run.output * np.float32(1.01), run.inputs, run.parameters)

    found = compared(fc=scaled)
    off = {name for name, each in found.values.items() if each.difference > 1e-6}
    assert off == {"output/fc", "output/fc:1"}
    assert found.values["output/fc"].difference == pytest.approx(0.01 / 1.01, rel=1e-5)
    assert list(found.runs) == ["fc", "fc:1"]
    assert list(found.state) == ["fc.weight"]


def test_a_wrong_gradient_of_an_input_is_seen_beside_a_right_output():
    def one_way(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        run = added(inputs, gradient)
        return LayerRun(run.output, (run.inputs[0], np.zeros_like(run.output)))

    found = compared(add=one_way)
    assert found.of("forward/add") == LocalDifference(0, pytest.approx(8e-8, rel=0.5))
    assert found.values["inputs/add/0"].difference == 0
    worst = found.of("backward/add")
    assert worst is not None and worst.difference == 1


def test_a_parameter_is_looked_up_at_the_layer_that_uses_it():
    small = LocalDifference(1e-7, 1e-7)
    values = {
        "parameters/fc.weight/fc": small,
        "parameters/fc.weight/fc:1": LocalDifference(2e-7, 1e-7),
    }
    assert (
        LocalDifferences(0, values).of("gradient/fc.weight") == values["parameters/fc.weight/fc:1"]
    )
    assert LocalDifferences(0, values).of("gradient/fc.bias") is None
    assert LocalDifferences(0, values).of("update/fc.weight") is None


def test_layers_that_take_other_inputs_or_have_other_outputs_are_not_compared():
    def turned(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        return LayerRun(inputs[0].T)

    with WholeArrays() as whole:
        trace = forward(FUNCTIONS, whole)
        live = Runner(SingleLayers({"fc": turned}), TRAINER, PLAN)
        found = local_differences(trace, live, {})
    assert found.skipped == {
        "fc": "its output has another shape.",
        "fc:1": "its output has another shape.",
        "add": "the model has no layer 'add'.",
    }
    assert not found.values


def test_a_layer_that_the_recording_side_cannot_run_alone_is_not_kept():
    with WholeArrays() as whole:
        forward(FUNCTIONS, whole)
        only: dict[str, Any] = {"add": added}
        runs = run_layers(whole, Runner(SingleLayers(only), TRAINER, PLAN))
    assert list(runs.values) == ["output/add", "inputs/add/0", "inputs/add/1"]


def test_a_difference_in_few_elements_is_measured_in_the_whole_output():
    def corner(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        run = added(inputs, gradient)
        run.output[0, 0] += 1
        return run

    found = compared(add=corner)
    assert 0.001 < found.values["output/add"].difference < 0.1


def test_gradients_of_parameters_are_kept_of_the_deepest_layers_that_run():
    def block(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        run = linear(inputs, gradient)
        own = {} if gradient is None else {"block.scale": gradient, "block.unused.weight": gradient}
        inner = {f"block.{name}": each for name, each in run.parameters.items()}
        return LayerRun(run.output, run.inputs, {**inner, **own})

    def inner(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        run = linear(inputs, gradient)
        return LayerRun(run.output, run.inputs, {"block.fc.weight": run.parameters["fc.weight"]})

    generator = np.random.default_rng(1)
    x, slope = (generator.normal(size=(40, size)).astype(np.float32) for size in (30, 20))
    with WholeArrays() as whole:
        for path in ("block.fc", "block"):
            whole.keep_call(path, 0, [x], x @ WEIGHT.T)
            whole.keep(key("backward", path), slope)
        tracer = SingleLayers({"block.fc": inner, "block": block})
        values = run_layers(whole, Runner(tracer, TRAINER, PLAN)).values
    assert [name for name in values if name.startswith("parameters/")] == [
        "parameters/block.fc.weight/block.fc",
        "parameters/block.scale/block",
        "parameters/block.unused.weight/block",
    ]


def test_a_second_call_that_drops_other_elements_is_compared_as_both_sides_run_it_alone():
    def dropped(inputs: Sequence[Array], gradient: Array | None) -> LayerRun:
        return LayerRun(inputs[0] * (np.arange(30) % 2).astype(np.float32))

    x = np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)
    with WholeArrays() as whole:
        whole.keep_call("drop", 0, [x], dropped([x], None).output)
        whole.keep_call("drop", 1, [x], x - dropped([x], None).output)
        tracer = SingleLayers({"drop": dropped})
        found = local_differences(recorded(whole, tracer), Runner(tracer, TRAINER, PLAN), {})
    assert {each.difference for each in found.values.values()} == {0}
