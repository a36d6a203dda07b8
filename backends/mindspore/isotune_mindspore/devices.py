"""Devices, and the few things that differ between them.

Only this file knows about Ascend NPUs. All measurements are from CPUs; the code for Ascend follows
MindSpore's documentation and is not tested on one.
"""

from __future__ import annotations

import mindspore as ms
from mindspore.device_context import ascend

from isotune.data.workers import usable_cpus
from isotune.errors import BackendError, nearest
from isotune_mindspore.onednn import avoid_reference_convolutions

_in_use: str | None = None


def usable_devices() -> list[str]:
    """Returns the devices of this machine, best first: ``["ascend:0", "ascend:1", "cpu"]``."""
    count = int(ascend.device_count()) if ascend.is_available() else 0
    return [*(f"ascend:{i}" for i in range(count)), "cpu"]


def use_device(device: str) -> None:
    """Makes MindSpore compute on `device`.

    Raises:
        BackendError: there is no such device, or the process uses another one already.
    """
    global _in_use
    if device == _in_use:
        return
    usable = usable_devices()
    if device not in usable:
        raise BackendError(
            f"mindspore cannot use device '{device}' here.{nearest(device, usable)}"
            f" Usable are: {', '.join(usable)}."
        )
    if _in_use:
        raise BackendError(_one_device(device, _in_use))
    try:
        if device == "cpu":
            ms.set_device("CPU")
        else:
            ms.set_device("Ascend", int(device.removeprefix("ascend:")))
    except RuntimeError as error:
        # MindSpore has computed in this process before, on the CPU unless it was set otherwise.
        if device != "cpu" or ms.get_context("device_target") != "CPU":
            raise BackendError(_one_device(device, "another one")) from error
    if device == "cpu":
        avoid_reference_convolutions()
    _in_use = device


def _one_device(wanted: str, used: str) -> str:
    return (
        f"mindspore computes on one device in a process, and this one uses {used} already:"
        f" start a new process for '{wanted}'."
    )


def cpu_threads() -> int:
    """Returns the number of threads that MindSpore's CPU kernels use."""
    return int(ms.get_context("runtime_num_threads"))


def share_threads(processes: int) -> None:
    """Leaves the other processes of this machine their share of the CPUs.

    Before the first operation. Not by binding the process to some of them: MindSpore's kernels
    (2.10) divide their work by the CPUs that the process may use, and with it the order of sums,
    whereas the number of threads that do the work changes no byte.
    """
    ms.set_context(runtime_num_threads=max(1, usable_cpus() // processes))


def has_fast_depthwise() -> bool:
    """Whether the device has its own kernels for depthwise convolutions.

    MindSpore's CPU kernels (2.10) compute one convolution per channel, which is slow on small
    maps. An Ascend NPU has kernels for them.
    """
    return bool(ms.get_context("device_target") != "CPU")
