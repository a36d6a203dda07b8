"""What processes tell each other by MindSpore's collectives, and how they are started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from isotune.distributed.group import Group
from isotune.errors import BackendError
from isotune.interfaces.backend import Backend
from isotune.interfaces.communicator import Place
from isotune_mindspore.launching import launch, read_place
from launching import start

BITS = [0x7F800001, 0x80000000, 0xFFC12345, 0x00000001, 0x7F800000]
"""A signaling NaN, -0.0, a NaN with a payload, the smallest number, infinity."""


def values_of(rank: int) -> list[np.ndarray]:
    """Returns arrays of all kinds, which differ between processes in every byte."""
    random = np.random.default_rng(rank)
    floats = np.roll(np.array(BITS, np.uint32), rank).view(np.float32)
    raw = random.bytes(48)
    typed = [np.frombuffer(raw, dtype).reshape(2, -1) for dtype in ("u1", "i2", "i4", "i8", "f8")]
    odd = np.frombuffer(raw[:7], np.uint8)
    return [floats, *typed, odd, odd[:0], np.array(random.random()), odd[:6].reshape(3, 2, 1)]


def gather_all(backend: Backend, folder: Path) -> None:
    communicator = backend.communicator
    place = communicator.place
    columns = [values_of(rank) for rank in range(place.processes)]
    for own, *each in zip(values_of(place.rank), *columns, strict=True):
        gathered = communicator.gather(own)
        assert gathered.shape == (place.processes, *own.shape)
        assert gathered.dtype == own.dtype
        assert gathered.tobytes() == b"".join(values.tobytes() for values in each)
    group = Group(communicator)
    texts = [b"a" * 200 * (rank + 1) for rank in range(place.processes)]
    assert group.exchange(texts[place.rank]) == texts
    rows = group.arrays(np.full((place.rank, 3), place.rank, np.int64))
    assert_array_equal(np.concatenate(rows), [[1, 1, 1]])
    print(f"{place}, {backend.threads()} threads")


def test_two_processes_gather_all_bits_of_all_kinds_of_numbers(tmp_path: Path) -> None:
    printed = start("mindspore", 2, gather_all, tmp_path)
    assert f"{Place(0, 2, 0, 2)}, {max(1, len(os.sched_getaffinity(0)) // 2)} threads" in printed


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
