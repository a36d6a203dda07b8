"""How msrun starts processes, and what it tells them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from isotune.errors import BackendError
from isotune.interfaces.communicator import Place
from isotune_mindspore.launching import launch, read_place


def msrun(**changes: str) -> dict[str, str]:
    given = {"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "4", "MS_NODE_ID": "3", "DEVICE_ID": "1"}
    return {**given, **changes}


def test_place_is_what_msrun_says() -> None:
    assert read_place({"RANK_ID": "3", "RANK_SIZE": "4"}) == Place()
    assert read_place(msrun()) == Place(3, 4, 1, 2)


@pytest.mark.parametrize("value", ["", "-1", "x"])
def test_processes_without_numbers_are_an_error_that_names_the_option(value: str) -> None:
    with pytest.raises(BackendError, match=rf"MS_NODE_ID: is '{value}'.*--node_rank"):
        read_place(msrun(MS_NODE_ID=value))


def test_launch_runs_this_interpreter_and_keeps_what_the_user_has_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MS_NODE_TIMEOUT", "77")
    started = launch(3, ["-m", "isotune", "run", "spec.yaml"], tmp_path)
    assert started.command[0] == sys.executable
    assert {"--worker_num=3", "--local_worker_num=3", f"--log_dir={tmp_path}"} <= {*started.command}
    assert started.command[-4:] == ["-m", "isotune", "run", "spec.yaml"]
    assert started.environment["MS_NODE_TIMEOUT"] == "77"
    assert started.environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
