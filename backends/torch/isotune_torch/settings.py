"""PyTorch's settings of the process: neither do the caller's affect a run, nor does it change them.

What stays the caller's are choices that change how something is computed but not what: the number
of threads, cuDNN's benchmark mode, deterministic algorithms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch

T = TypeVar("T")

CPU = torch.device("cpu")
OPERATORS = (
    *("cuda.matmul", "cudnn.conv", "cudnn.rnn"),
    *("mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn"),
)
"""What has a precision of float32 of its own under ``torch.backends``, since PyTorch 2.9."""

GROUPS = ("", "cudnn")
"""What operators without a precision take it from: all of ``torch.backends``, and a library.

``mkldnn`` is another, but to set its precision sets that of all in PyTorch 2.15.
"""


@contextmanager
def default_settings(device: torch.device) -> Iterator[None]:
    """Gives PyTorch the settings that it starts with, and afterwards the caller's.

    Those are gradients and inference mode, autocast, the default dtype and device, the precision of
    float32, and the states of random number generators. Deterministic algorithms stay on, but an
    operation that has none warns instead of failing.

    Args:
        device: The device to compute on.
    """
    with ExitStack() as stack:
        accelerators = {device.type} & {"cuda", "npu"}
        own = [device.index or 0] if accelerators else []
        kind = device.type if accelerators else "cuda"
        stack.enter_context(torch.random.fork_rng(own, device_type=kind))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for each in ("cpu", *accelerators):
            stack.enter_context(torch.autocast(each, enabled=False))
        stack.enter_context(_default_dtype(torch.float32))
        if torch.get_default_device() != CPU:
            stack.enter_context(CPU)
        stack.enter_context(_only_warning())
        stack.enter_context(_exact_float32())
        yield


@contextmanager
def _exact_float32() -> Iterator[None]:
    """Computes float32 in float32, then restores the precision, whichever way it was set.

    PyTorch's older functions fail once the newer attributes, which exist since 2.9, disagree with
    them. They do not fail within, since they are what sets the precision.
    """
    cudnn = torch.backends.cudnn
    matmul = _read(torch.get_float32_matmul_precision)
    convolutions = _read(lambda: cudnn.allow_tf32)
    newer: list[tuple[Any, str]] = []
    for path in GROUPS:  # first, as operators without a precision show their group's
        newer += _set_precision(path, "none")
    newer += [pair for path in OPERATORS for pair in _set_precision(path, "none")]
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if convolutions is not None:
            cudnn.allow_tf32 = convolutions
        for place, value in reversed(newer):
            place.fp32_precision = value


def _set_precision(path: str, precision: str) -> list[tuple[Any, str]]:
    """Sets a precision; returns its place and earlier value, or nothing where there is none."""
    place: Any = torch.backends
    for name in filter(None, path.split(".")):
        place = getattr(place, name, None)
    before = getattr(place, "fp32_precision", None)
    if before is None:
        return []
    place.fp32_precision = precision
    return [(place, before)]


def _read(setting: Callable[[], T]) -> T | None:
    """Returns an older setting, or None where the newer attributes disagree with it."""
    try:
        return setting()
    except RuntimeError:
        return None


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _only_warning() -> Iterator[None]:
    """Lets operations warn that have no deterministic algorithm, where the caller wants those."""
    if not torch.are_deterministic_algorithms_enabled():
        yield
        return
    before = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=before)
