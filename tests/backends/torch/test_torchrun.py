"""What torchrun says of a process is believed if it is torchrun that says it, and checked."""

from __future__ import annotations

import pytest

from isotune.errors import BackendError
from isotune.interfaces.communicator import Place
from isotune_torch.torchrun import place

SECOND_OF_FOUR = {
    "TORCHELASTIC_RUN_ID": "run",
    "TORCHELASTIC_RESTART_COUNT": "1",
    "TORCHELASTIC_MAX_RESTARTS": "2",
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
}


def test_a_place_is_what_torchrun_says() -> None:
    assert place(SECOND_OF_FOUR) == Place(3, 4, 1, 2, restarts=1, most_restarts=2)


def test_variables_that_a_cluster_sets_are_no_place() -> None:
    assert place({"RANK": "3", "WORLD_SIZE": "4"}).alone


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("RANK", "4", "from 0 to 3"),
        ("WORLD_SIZE", "four", "at least 1"),
        ("LOCAL_WORLD_SIZE", "8", "from 1 to 4"),
        ("LOCAL_RANK", "-1", "from 0 to 1"),
        ("TORCHELASTIC_RESTART_COUNT", "٣", "at least 0"),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, right: str) -> None:
    with pytest.raises(BackendError, match=f"{name}, which torchrun sets, .*number {right}\\."):
        place({**SECOND_OF_FOUR, name: value})


def test_a_missing_variable_is_named() -> None:
    environment = {name: value for name, value in SECOND_OF_FOUR.items() if name != "LOCAL_RANK"}
    with pytest.raises(BackendError, match="but not LOCAL_RANK: start Isotune with torchrun"):
        place(environment)
