"""Learning rates, against PyTorch's own schedulers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from isotune.spec.schedule import AnySchedule, Moment

BASE, STEPS_PER_EPOCH, EPOCHS = 0.1, 3, 7
READ: TypeAdapter[Any] = TypeAdapter(AnySchedule)


def ours(schedule: dict[str, Any]) -> list[float]:
    spec = READ.validate_python(schedule)
    return [
        spec.rates(Moment(BASE, step, STEPS_PER_EPOCH, EPOCHS)).learning_rate
        for step in range(STEPS_PER_EPOCH * EPOCHS)
    ]


def theirs(scheduler: str, every: int = 1, **arguments: Any) -> list[float]:
    """Returns the rates of a PyTorch scheduler that is stepped after each `every` steps."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    schedule = getattr(torch.optim.lr_scheduler, scheduler)(optimizer, **arguments)
    rates = []
    for step in range(STEPS_PER_EPOCH * EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            schedule.step()
    return rates


def test_step() -> None:
    expected = theirs("StepLR", STEPS_PER_EPOCH, step_size=2, gamma=0.3)
    assert ours({"name": "step", "every": 2, "gamma": 0.3}) == pytest.approx(expected)


def test_multi_step() -> None:
    expected = theirs("MultiStepLR", STEPS_PER_EPOCH, milestones=[5, 2], gamma=0.3)
    found = ours({"name": "multi_step", "milestones": [5, 2], "gamma": 0.3})
    assert found == pytest.approx(expected)


def test_cosine() -> None:
    expected = theirs("CosineAnnealingLR", T_max=STEPS_PER_EPOCH * EPOCHS, eta_min=0.02 * BASE)
    assert ours({"name": "cosine", "final": 0.02}) == pytest.approx(expected)


def test_cosine_of_its_own_length() -> None:
    """Longer than the run it is a part of the wave, shorter it stays at its end."""
    whole = theirs("CosineAnnealingLR", T_max=STEPS_PER_EPOCH * 10)
    assert ours({"name": "cosine", "epochs": 10}) == pytest.approx(whole)
    short = theirs("CosineAnnealingLR", T_max=STEPS_PER_EPOCH * 4, eta_min=0.02 * BASE)
    found = ours({"name": "cosine", "epochs": 4, "final": 0.02})
    ended = STEPS_PER_EPOCH * 4
    assert found[:ended] == pytest.approx(short[:ended])
    assert found[ended:] == [0.02 * BASE] * (STEPS_PER_EPOCH * EPOCHS - ended)


def test_warmup() -> None:
    expected = theirs("LinearLR", start_factor=0.25, end_factor=1.0, total_iters=6)
    found = ours({"name": "constant", "warmup": {"epochs": 2, "start": 0.25}})
    assert found == pytest.approx(expected)


def test_warmup_then_cosine() -> None:
    rates = ours({"name": "cosine", "warmup": {"epochs": 2, "start": 0.1}})
    cosine = theirs("CosineAnnealingLR", T_max=STEPS_PER_EPOCH * (EPOCHS - 2))
    assert rates[6:] == pytest.approx(cosine[:-6])
    assert rates[:6] == sorted(rates[:6])


@given(
    schedule=st.sampled_from(
        [
            {"name": "constant"},
            {"name": "step", "every": 2},
            {"name": "multi_step", "milestones": [1, 3]},
            {"name": "cosine"},
            {"name": "cosine", "epochs": 5},
            {"name": "reduce_on_plateau"},
        ]
    ),
    warmup=st.none() | st.floats(0.1, 20),
    step=st.integers(0, 40),
    epochs=st.integers(1, 10),
)
def test_rates_stay_between_nothing_and_the_base(
    schedule: dict[str, Any], warmup: float | None, step: int, epochs: int
) -> None:
    spec = READ.validate_python({**schedule, "warmup": warmup and {"epochs": warmup}})
    rates = spec.rates(Moment(BASE, step, STEPS_PER_EPOCH, epochs))
    assert 0 <= rates.learning_rate <= BASE
    assert rates.momentum is None
