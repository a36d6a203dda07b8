"""The number of threads follows from shards and cores, not from the number of processes."""

from __future__ import annotations

import pytest
import torch

from isotune.interfaces.trainer import TrainingPlan
from isotune.spec.optimizer import SGDSpec
from isotune.spec.values import Reduction
from isotune_torch import threads
from isotune_torch.threads import CoresOfShard, share
from isotune_torch.torchrun import RUN


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.parametrize(
    ("shards", "reduction", "expected"),
    [(1, "exact", None), (2, "exact", 4), (16, "exact", 1), (2, "fast", None)],
)
def test_a_step_has_the_cores_of_a_shard(
    shards: int, reduction: Reduction, expected: int | None
) -> None:
    plan = TrainingPlan(SGDSpec(), shards=shards, reduction=reduction)
    before = torch.get_num_threads()
    with CoresOfShard(plan, torch.device("cpu")):
        assert torch.get_num_threads() == (expected or before)
    assert torch.get_num_threads() == before


def test_a_number_that_the_user_has_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share(4) is None
    monkeypatch.setenv(RUN, "run")  # where 1 is torchrun's
    assert share(4) == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert share(4) is None
