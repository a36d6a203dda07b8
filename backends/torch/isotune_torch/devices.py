"""Differences between kinds of devices. The rest of the backend is the same on all.

Continuous integration has only CPUs, so code for other devices is here, and short.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor

from isotune.spec.values import Precision

T = TypeVar("T")
Transfer = Callable[[T], tuple[Tensor, Tensor]]

log = logging.getLogger(__name__)


def import_npu() -> ModuleType | None:
    """Imports torch_npu, without which there is no ``torch.npu``; None if it is not usable."""
    try:
        return importlib.import_module("torch_npu")
    except ModuleNotFoundError as error:
        if error.name != "torch_npu":
            log.warning("torch_npu is installed but cannot be imported: %s", error)
    except (ImportError, OSError, RuntimeError) as error:  # a missing Ascend driver or library
        log.warning("torch_npu is installed but cannot be imported: %s", error)
    return None


def usable_devices() -> list[str]:
    """Returns the devices PyTorch can compute on here, best first."""
    devices = []
    if torch.cuda.is_available():
        devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if import_npu() and torch.npu.is_available():
        devices += [f"npu:{i}" for i in range(torch.npu.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [*devices, "cpu"]


def memory_format(device: torch.device, precision: Precision = "fp32") -> torch.memory_format:
    """Returns the memory format in which convolutions run best on `device`.

    Measured on 2 cores of an x86 CPU with torch 2.15 and fp32, seconds a training step,
    contiguous / channels_last: ResNet-18 8@224 .498 / .455, ResNet-50 8@224 1.34 / 1.13,
    MobileNetV2 8@224 .493 / .405, EfficientNet-Lite0 32@64 .244 / .177; the one loss is
    ResNet-18 32@64, .190 / .203. On CUDA, the tensor cores that compute everything but fp32 take
    channels_last by PyTorch's documentation. Other devices keep PyTorch's default.
    """
    tensor_cores = device.type == "cuda" and precision != "fp32"
    last = device.type == "cpu" or tensor_cores
    return torch.channels_last if last else torch.contiguous_format


def precisions(device: torch.device) -> tuple[Precision, ...]:
    """Returns the precisions that `device` supports.

    TF32 and bfloat16 came with NVIDIA's compute capability 8. A CPU has no float16: PyTorch
    computes it in float32, and every conversion costs.
    """
    if device.type == "cuda":
        ampere = torch.cuda.get_device_capability(device) >= (8, 0)
        return ("fp32", "tf32", "bf16", "fp16") if ampere else ("fp32", "fp16")
    of_kinds: dict[str, tuple[Precision, ...]] = {
        "cpu": ("fp32", "bf16"),
        "npu": ("fp32", "bf16", "fp16"),
        "mps": ("fp32", "fp16"),
    }
    return of_kinds.get(device.type, ("fp32",))


def has_fused_optimizers(device: torch.device) -> bool:
    """Whether SGD, Adam and AdamW have one kernel for the whole update.

    PyTorch's own choice on a CPU is a loop over parameters; fused kernels took 1.65 ms for
    3.67 (MobileNetV2, SGD) and 2.8 ms for 9.7 (AdamW) on the machine of :func:`memory_format`.
    """
    return device.type in ("cpu", "cuda")


def transferred(
    items: Iterable[T], transfer: Transfer[T], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields ``transfer(item)`` for all items; on CUDA one item ahead, parallel to the computation.

    Args:
        items: Items to transfer.
        transfer: Makes two tensors on `device` from an item.
        device: Target device.
    """
    if device.type == "cuda":
        return _one_ahead(items, transfer, device)
    return map(transfer, items)


def host_to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a CPU tensor to `device`; on CUDA from pinned memory, without waiting.

    PyTorch keeps a pinned buffer until the copies from it are done.
    """
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _one_ahead(
    items: Iterable[T], transfer: Transfer[T], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    copying = torch.cuda.Stream(device)
    waiting: tuple[tuple[Tensor, Tensor], torch.cuda.Event] | None = None
    for item in items:
        with torch.cuda.stream(copying):
            following = transfer(item), copying.record_event()
        if waiting is not None:
            yield _received(*waiting, device)
        waiting = following
    if waiting is not None:
        yield _received(*waiting, device)


def _received(
    tensors: tuple[Tensor, Tensor], copied: torch.cuda.Event, device: torch.device
) -> tuple[Tensor, Tensor]:
    computing = torch.cuda.current_stream(device)
    computing.wait_event(copied)
    for tensor in tensors:
        # Its memory belongs to the copying stream, which must not reuse it too early.
        tensor.record_stream(computing)
    return tensors
