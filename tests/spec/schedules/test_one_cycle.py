"""One cycle, against PyTorch's ``OneCycleLR``."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from isotune.errors import SpecError
from isotune.spec.load import load_spec
from isotune.spec.schedule import Moment, Rates
from isotune.spec.schedules.one_cycle import OneCycleSchedule
from tiny import experiment

MAX_LR = 0.3


def ours(steps_per_epoch: int, epochs: int, **options: Any) -> list[Rates]:
    spec = OneCycleSchedule(name="one_cycle", **options)
    steps = range(steps_per_epoch * epochs)
    return [spec.rates(Moment(MAX_LR, step, steps_per_epoch, epochs)) for step in steps]


def theirs(adam: bool, steps: int, **options: Any) -> list[Rates]:
    torch = pytest.importorskip("torch")
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.AdamW(parameters) if adam else torch.optim.SGD(parameters, momentum=0.9)
    options["anneal_strategy"] = options.pop("anneal", "cos")
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=steps, **options)
    found = []
    [group] = optimizer.param_groups
    for step in range(steps):
        momentum = group["betas"][0] if "betas" in group else group["momentum"]
        found.append(Rates(group["lr"], momentum))
        if step < steps - 1:
            optimizer.step()
            scheduler.step()
    return found


@given(
    epochs=st.integers(1, 5),
    steps_per_epoch=st.integers(1, 12),
    pct_start=st.floats(0, 1),
    anneal=st.sampled_from(["cos", "linear"]),
    div_factor=st.floats(1, 100),
    final_div_factor=st.floats(1, 1e6),
    three_phase=st.booleans(),
    momenta=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)),
    adam=st.booleans(),
)
@example(3, 7, 0.3, "cos", 25.0, 1e4, False, (0.85, 0.95), False)
@example(3, 7, 0.3, "linear", 25.0, 1e4, True, (0.85, 0.95), True)
def test_every_step_is_pytorchs(
    epochs: int,
    steps_per_epoch: int,
    pct_start: float,
    anneal: str,
    div_factor: float,
    final_div_factor: float,
    three_phase: bool,
    momenta: tuple[float, float],
    adam: bool,
) -> None:
    steps = epochs * steps_per_epoch
    assume(steps > 1)
    assume(pct_start * steps != 1)  # where PyTorch divides by zero
    options = {
        "pct_start": pct_start,
        "anneal": anneal,
        "div_factor": div_factor,
        "final_div_factor": final_div_factor,
        "three_phase": three_phase,
        "base_momentum": min(momenta),
        "max_momentum": max(momenta),
    }
    found, expected = ours(steps_per_epoch, epochs, **options), theirs(adam, steps, **options)
    assert list(chain(*found)) == pytest.approx(list(chain(*expected)), rel=1e-12)


def test_its_defaults_are_pytorchs() -> None:
    assert list(chain(*ours(4, 5))) == pytest.approx(list(chain(*theirs(False, 20))), rel=1e-12)


def test_a_few_steps_are_sensible() -> None:
    """A rise of one step has the highest rate; so has the only step of a run."""
    assert ours(1, 1) == [Rates(MAX_LR, 0.85)]
    assert ours(4, 1, pct_start=0.25)[0] == Rates(MAX_LR, 0.85)
    assert [rate for rate, _ in ours(1, 2)] == pytest.approx([0.2435, 1.2e-6], rel=1e-3)
    for steps in range(1, 9):
        assert 0.7 * MAX_LR < max(rate for rate, _ in ours(steps, 1)) <= MAX_LR


def test_after_its_end_nothing_changes() -> None:
    cycle = OneCycleSchedule(name="one_cycle", epochs=4)
    part = [cycle.rates(Moment(MAX_LR, step, 5, 6)) for step in range(30)]
    assert part == ours(5, 4) + ours(5, 4)[-1:] * 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizer": {"name": "sgd"}},
            "spec: schedule: one_cycle changes the momentum, but optimizer sgd has none: set"
            " optimizer.momentum, as to 0.9, or cycle_momentum: false.",
        ),
        (
            {"schedule": {"name": "one_cycle", "base_momentum": 0.96}},
            "spec: schedule: base_momentum should be at most max_momentum.",
        ),
        (
            {"schedule": {"name": "one_cycle", "warmup": {"epochs": 1}}},
            "spec: schedule.warmup is not a known key. Allowed are: name, epochs, pct_start,"
            " anneal, div_factor, final_div_factor, three_phase, cycle_momentum, base_momentum,"
            " max_momentum.",
        ),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(experiment("images", schedule="one_cycle") | changes)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_momentum_that_does_not_cycle_is_the_optimizers() -> None:
    still = {"name": "one_cycle", "cycle_momentum": False}
    load_spec(experiment("images", schedule=still, optimizer={"name": "sgd"}))  # type: ignore[arg-type]
    assert {momentum for _, momentum in ours(2, 3, cycle_momentum=False)} == {None}
