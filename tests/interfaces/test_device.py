"""Device names."""

from __future__ import annotations

import pytest

from isotune.errors import BackendError
from isotune.interfaces.device import choose_device

PRESENT = ["cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize(
    ("requested", "chosen"),
    [
        ("auto", "cuda:0"),
        ("cuda", "cuda:0"),
        ("cuda:1", "cuda:1"),
        ("CUDA:1", "cuda:1"),
        (" cpu ", "cpu"),
    ],
)
def test_chooses(requested: str, chosen: str) -> None:
    assert choose_device(requested, PRESENT, "torch") == chosen


@pytest.mark.parametrize("requested", ["cuda:2", "npu", "ascend:0", "", "cud"])
def test_refuses_what_is_not_there(requested: str) -> None:
    with pytest.raises(BackendError, match="Present are: cuda:0, cuda:1, cpu"):
        choose_device(requested, PRESENT, "torch")
