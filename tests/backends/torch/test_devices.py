"""Device lists, and the CUDA feed, with stand-ins for hardware that is not here."""

from __future__ import annotations

import contextlib
import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from isotune.spec.values import Precision
from isotune_torch import devices


def pretend(monkeypatch: pytest.MonkeyPatch, cuda: int = 0, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def test_best_devices_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda=2, mps=True)
    monkeypatch.setitem(sys.modules, "torch_npu", ModuleType("torch_npu"))
    npu = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1)
    monkeypatch.setattr(torch, "npu", npu, raising=False)
    assert devices.usable_devices() == ["cuda:0", "cuda:1", "npu:0", "mps", "cpu"]


def test_the_cpu_is_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    assert devices.usable_devices() == ["cpu"]


def test_a_broken_torch_npu_is_reported_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch)
    (tmp_path / "torch_npu.py").write_text("raise OSError('libascendcl.so: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert devices.usable_devices() == ["cpu"]
    assert "libascendcl.so" in caplog.text


class Recorded:
    """A tensor that notes which stream took it over."""

    def __init__(self, number: int, log: list[str]) -> None:
        self.number, self.log = number, log

    def record_stream(self, stream: FakeStream) -> None:
        self.log.append(f"{stream.name} takes {self.number}")


class FakeStream:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        self.events = 0

    def record_event(self) -> int:
        self.events += 1
        return self.events - 1

    def wait_event(self, event: int) -> None:
        self.log.append(f"{self.name} waits for {event}")


def test_on_cuda_one_batch_is_copied_ahead_and_waited_for_by_its_own_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []
    compute = FakeStream("compute", log)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: FakeStream("copy", log))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: compute)

    def transfer(number: int) -> tuple[Recorded, Recorded]:
        log.append(f"copy {number}")
        return Recorded(number, log), Recorded(number, log)

    for images, _ in devices.transferred(range(3), transfer, torch.device("cuda:0")):
        log.append(f"step {images.number}")
    taken = [
        [f"compute waits for {i}", f"compute takes {i}", f"compute takes {i}", f"step {i}"]
        for i in range(3)
    ]
    assert log == ["copy 0", "copy 1", *taken[0], "copy 2", *taken[1], *taken[2]]


@pytest.mark.parametrize(
    ("kind", "precision", "last"),
    [
        ("cpu", "fp32", True),
        ("cuda", "fp32", False),
        ("cuda", "tf32", True),
        ("cuda", "bf16", True),
        ("mps", "fp16", False),
    ],
)
def test_convolutions_lie_as_the_device_computes_them(
    kind: str, precision: Precision, last: bool
) -> None:
    found = devices.memory_format(torch.device(kind), precision)
    assert (found == torch.channels_last) == last


def test_precisions_follow_the_capability_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert devices.precisions(cuda) == ("fp32", "tf32", "bf16", "fp16")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert devices.precisions(cuda) == ("fp32", "fp16")
    assert devices.precisions(torch.device("cpu")) == ("fp32", "bf16")
