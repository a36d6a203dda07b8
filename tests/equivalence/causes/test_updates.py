"""Updates of parameters, and BatchNorm's running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from isotune.equivalence.certificates.certificate import Place, PlaceStage
from isotune.equivalence.traces.sampling import values_of
from isotune.interfaces.checkpoint import digest
from isotune.interfaces.tracer import Layer
from isotune.spec.optimizer import AdamSpec, AdamWSpec, SGDSpec
from isotune.testing.reference.optimizers import Slots, updated
from made_evidence import SIDES, of_step, of_traces
from made_traces import made_step, made_trace

Array = NDArray[Any]

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(0, 0.1, size=(40, 60)).astype(np.float32)
GRADIENTS = RNG.normal(0, 0.02, size=(2, 40, 60)).astype(np.float32)
RATE = 0.01

SGD = SGDSpec(momentum=0.9, weight_decay=1e-3)
NESTEROV = SGDSpec(momentum=0.9, weight_decay=1e-3, nesterov=True)
ADAM = AdamSpec(name="adam", weight_decay=0.1)
ADAMW = AdamWSpec(name="adamw", weight_decay=0.1)


def course(spec: Any, rate: float = RATE, clip: float = 1.0) -> list[dict[str, Array]]:
    """Returns what a trace has of a parameter in two steps of training, in float32."""
    weight, slots, steps = WEIGHT, Slots(), []
    for gradient in GRADIENTS:
        new, slots = updated(
            spec, weight.astype(np.float64), gradient.astype(np.float64) * clip, slots, rate
        )
        after = new.astype(np.float32)
        kept = {f"state/fc.weight/{slot}": value for slot, value in slots.items()}
        steps.append(
            {
                "gradient/fc.weight": gradient,
                "update/fc.weight": after - weight,
                "state/fc.weight": after,
                **kept,
            }
        )
        weight = after
    return steps


def cause(
    spec: Any,
    one: Any,
    other: Any,
    step: int = 0,
    at: tuple[PlaceStage, str] = ("update", "fc.weight"),
    **experiment: Any,
) -> str | None:
    known = {"optimizer": spec.model_dump(mode="json"), **experiment}
    traces = [
        made_trace(
            *(
                made_step(
                    number,
                    learning_rate=RATE,
                    values={at: values_of(at, np.asarray(x, np.float32)) for at, x in each.items()},
                )
                for number, each in enumerate(steps)
            ),
            backend=side,
            experiment=known,
        )
        for side, steps in zip(SIDES, (one, other), strict=True)
    ]
    return of_traces(Place(*at, step, path="fc"), traces[0], traces[1])


def changed(spec: Any, **changes: Any) -> Any:
    return spec.model_copy(update=changes)


@pytest.mark.parametrize(
    ("spec", "fault", "step", "sentence"),
    [
        (SGD, changed(SGD, weight_decay=0.0), 0, "no weight decay"),
        (SGD, changed(SGD, weight_decay=-1e-3), 0, "weight decay with the wrong sign"),
        (SGD, changed(SGD, weight_decay=2e-3), 0, "weight decay applied twice"),
        (SGD, changed(SGD, momentum=0.0), 1, "no momentum"),
        (SGD, NESTEROV, 0, "Nesterov's momentum"),
        (NESTEROV, SGD, 0, "momentum without Nesterov's step ahead"),
        (ADAM, changed(ADAM, weight_decay=0.0), 0, "no weight decay"),
        (ADAM, ADAMW, 0, "weight decay apart from the gradient, as in AdamW"),
        (ADAMW, ADAM, 0, "weight decay added to the gradient, as in Adam"),
        (ADAMW, changed(ADAMW, betas=(0.999, 0.9)), 1, "betas in the wrong order"),
        (
            changed(ADAM, eps=1e-3),
            changed(ADAM, eps=1e-2),
            0,
            "eps 0.01 instead of 0.001",
        ),
    ],
)
def test_rules(spec: Any, fault: Any, step: int, sentence: str):
    assert cause(spec, course(spec), course(fault), step) == (
        f"mindspore on cpu fits {sentence}; torch on cpu fits the spec's optimizer."
    )
    assert cause(spec, course(fault), course(spec), step) == (
        f"torch on cpu fits {sentence}; mindspore on cpu fits the spec's optimizer."
    )


@pytest.mark.parametrize("spec", [SGD, NESTEROV, ADAM, ADAMW])
@pytest.mark.parametrize("step", [0, 1])
def test_rules_that_fit_or_are_not_known(spec: Any, step: int):
    assert cause(spec, course(spec), course(spec), step) is None
    noisy = course(spec)
    noisy[step]["update/fc.weight"] = noisy[step]["update/fc.weight"] + RNG.normal(
        0, 1e-4, WEIGHT.shape
    )
    assert cause(spec, course(spec), noisy, step) is None
    assert cause(spec, course(spec), course(changed(spec, weight_decay=0.0)), accumulate=2) is None


def test_another_learning_rate():
    assert cause(SGD, course(SGD), course(SGD, rate=0.1)) == (
        "Both sides fit the spec's optimizer, mindspore on cpu with 10 times the learning rate, or"
        " the clipped gradient, of torch on cpu."
    )


def test_a_decay_that_the_spec_spares():
    spec = changed(SGD, no_decay="norms_and_biases")
    bias = np.float32(RNG.normal(size=30))
    values = []
    for decay in (0.0, 1e-3):
        after = (bias - RATE * (0.02 + decay * bias.astype(np.float64))).astype(np.float32)
        values.append(
            {
                "gradient/fc.bias": np.full(30, 0.02),
                "update/fc.bias": after - bias,
                "state/fc.bias": after,
            }
        )
    experiment = {"optimizer": spec.model_dump(mode="json")}
    found = of_step("update", "fc.bias", (values[0], values[1]), experiment=experiment)
    assert found is None  # the learning rate of these steps is another one
    one, other = (
        made_trace(
            made_step(
                learning_rate=RATE,
                values={at: values_of(at, np.asarray(x, np.float32)) for at, x in each.items()},
            ),
            backend=side,
            experiment=experiment,
        )
        for side, each in zip(SIDES, values, strict=True)
    )
    assert of_traces(Place("update", "fc.bias", 0), one, other) == (
        "mindspore on cpu fits weight decay of a parameter that the spec spares; torch on cpu fits"
        " the spec's optimizer."
    )


def test_gradients_are_clipped():
    norm = float(np.linalg.norm(GRADIENTS[0].astype(np.float64)))
    clip = 0.1 / (norm + 1e-6)
    one, other = course(SGD, clip=clip), course(changed(SGD, weight_decay=0.0), clip=clip)
    assert cause(SGD, one, other, clip_grad_norm=0.1) == (
        "mindspore on cpu fits no weight decay; torch on cpu fits the spec's optimizer."
    )
    assert cause(SGD, one, course(SGD), clip_grad_norm=0.1) == (
        "mindspore on cpu fits a gradient that is not clipped; torch on cpu fits the spec's"
        " optimizer."
    )


@pytest.mark.parametrize(
    ("spec", "fault", "slot", "sentence"),
    [
        (SGD, changed(SGD, weight_decay=0.0), "momentum_buffer", "no weight decay"),
        (ADAM, ADAMW, "exp_avg", "weight decay apart from the gradient, as in AdamW"),
        (ADAMW, changed(ADAMW, betas=(0.999, 0.9)), "exp_avg", "betas in the wrong order"),
    ],
)
def test_slots(spec: Any, fault: Any, slot: str, sentence: str):
    name = f"fc.weight/{slot}"
    for step in (0, 1):
        assert cause(spec, course(spec), course(fault), step, at=("state", name)) == (
            f"mindspore on cpu fits {sentence}; torch on cpu fits the spec's optimizer."
        )
        assert cause(spec, course(spec), course(spec), step, at=("state", name)) is None


def test_an_average_is_no_slot():
    one, other = (
        [
            {**step, "state/fc.weight/average": scale * step["state/fc.weight"]}
            for step in course(SGD)
        ]
        for scale in (1.0, 0.5)
    )
    at = "state", "fc.weight/average"
    found = cause(SGD, one, other, at=at)
    assert found is None or "optimizer" not in found


def test_another_beta():
    other = course(changed(ADAMW, betas=(0.9, 0.99)))
    for step in (0, 1):
        at = "state", "fc.weight/exp_avg_sq"
        assert cause(ADAMW, course(ADAMW), other, step, at=at) == (
            "The beta of the squares' mean fits 0.999 in torch on cpu and 0.99 in mindspore on cpu."
        )


def test_a_frozen_parameter_that_moves():
    update = RNG.normal(size=(4, 5))
    found = of_step(
        "update", "fc.weight", ({"update/fc.weight": 0 * update}, {"update/fc.weight": update})
    )
    assert found == (
        "The parameter does not move in torch on cpu: it fits one that is frozen there alone."
    )


BATCH = RNG.normal(1, 2, size=(4, 6, 5, 5)) * np.linspace(0.5, 2, 6)[:, None, None]


def statistics(kind: str, momentum: float = 0.1, ddof: int = 1, before: Any = None) -> Array:
    batch = BATCH.mean((0, 2, 3)) if kind == "running_mean" else BATCH.var((0, 2, 3), ddof=ddof)
    start = (0.0 if kind == "running_mean" else 1.0) if before is None else before
    found: Array = (1 - momentum) * start + momentum * batch
    return found


def of_statistics(kind: str, one: Array, other: Array, new: bool = True) -> str | None:
    name, start = f"bn.{kind}", np.full(6, 0 if kind == "running_mean" else 1, np.float32)
    values = [{f"state/{name}": each, "forward/bn": BATCH} for each in (one, other)]
    return of_step(
        "state",
        name,
        (values[0], values[1]),
        path="bn",
        start={name: digest({name: start}) if new else "0" * 64},
        layers=(Layer("bn", "BatchNorm2d", {"momentum": 0.1}),),
    )


def test_running_statistics():
    mean, variance = "running_mean", "running_var"
    turned = of_statistics(mean, statistics(mean), statistics(mean, momentum=0.9))
    assert turned is not None
    assert turned.startswith("The running statistics move 9 times as far in mindspore on cpu")
    assert "a momentum of 0.1 that is the share of the batch on one side" in turned
    biased = of_statistics(variance, statistics(variance), statistics(variance, ddof=0))
    assert biased == (
        "mindspore on cpu fits the biased variance in the running statistics, torch on cpu the"
        " unbiased one."
    )
    assert of_statistics(variance, statistics(variance, ddof=0), statistics(variance)) == (
        "torch on cpu fits the biased variance in the running statistics, mindspore on cpu the"
        " unbiased one."
    )
    assert of_statistics(mean, statistics(mean), np.zeros(6)) == (
        "The running statistics do not move in mindspore on cpu."
    )


def test_running_statistics_that_fit_nothing():
    mean, variance = "running_mean", "running_var"
    noise = 1 + 0.01 * RNG.normal(size=6)
    assert of_statistics(mean, statistics(mean), statistics(mean) * noise) is None
    assert of_statistics(variance, statistics(variance), statistics(variance) * noise) is None
    assert of_statistics(mean, statistics(mean), statistics(mean, before=3.0), new=False) is None
