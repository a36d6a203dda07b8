"""A CUDA device that is not here: fake tensors, which have a shape and a device, but no values.

PyTorch refuses an operation of tensors on different devices. What would make the host wait for the
device is an error here, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch._dynamo  # it checks signatures that are replaced here
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
CUDA = torch.device("cuda:0")

READING = {
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero,
    aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.bincount, aten.repeat_interleave,
}  # fmt: skip
"""Operators of whose result the host needs the value, or the shape."""

INDEXING = {aten.index, aten.index_put, aten.index_put_}
"""Operators that count what a mask selects."""

_make_subclass = Tensor._make_subclass


class WaitingError(AssertionError):
    """The host waited for the device."""


class Watch(TorchDispatchMode):
    """Refuses what waits for the device, and keeps the names of the operators on it."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Calls the operator."""
        kwargs = kwargs or {}
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        packet = func.overloadpacket
        if any(map(on_device, tensors)):
            self.operators.append(packet.__name__)
            masks = any(on_device(each) and each.dtype == torch.bool for each in tensors[1:])
            if packet in READING or (packet in INDEXING and masks):
                raise WaitingError(f"{func} reads from the device")
        if packet is aten._to_copy:
            target = torch.device(kwargs.get("device") or args[0].device)
            _check_copy(args[0], target, kwargs.get("non_blocking", False))
        if packet is aten.copy_:
            _check_copy(args[1], args[0].device, args[2] if len(args) > 2 else False)
        return func(*args, **kwargs)


class _NewTensors(TorchFunctionMode):
    """Refuses tensors of Python's numbers on the device, since copying these waits."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor) and on_device(result):
            raise WaitingError("numbers are copied to the device")
        return result


def on_device(value: object) -> bool:
    """Whether a value is a tensor on CUDA."""
    return isinstance(value, Tensor) and value.device == CUDA


@contextlib.contextmanager
def cuda() -> Iterator[None]:
    """Context in which ``cuda:0`` is a device of fake tensors."""
    stream = SimpleNamespace(record_event=lambda: None, wait_event=lambda event: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
        for name, value in {
            "is_bf16_supported": lambda including_emulation=True: True,
            "Stream": lambda device: stream,
            "stream": lambda stream: contextlib.nullcontext(),
            "current_stream": lambda device: stream,
        }.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(Tensor, "_make_subclass", _on_cuda_for_python)
        patch.setattr(Tensor, "pin_memory", _pinned)
        patch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
        patch.setattr(nn.Module, "_apply", _apply)
        with _FakeMode(allow_non_fake_inputs=True):
            yield


@contextlib.contextmanager
def never_waiting() -> Iterator[Watch]:
    """Context in which waiting for the device is a :class:`WaitingError`."""
    watch = Watch()
    with watch, _NewTensors():
        yield watch


class _FakeMode(FakeTensorMode):
    """Fake tensors on a CUDA device that C++ takes for ``meta``."""

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls an operator."""
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if device is not None and device.type == "meta":
            kwargs["device"] = CUDA
        if func.overloadpacket is aten._fused_sgd_:  # PyTorch has no fake one
            tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
            assert all(map(on_device, tensors)), "SGD of tensors on different devices"
            return None
        return super().dispatch(func, types, args, kwargs)


def _on_cuda_for_python(
    cls: Any, data: Tensor, requires_grad: bool = False, **options: Any
) -> Tensor:
    """Makes a fake tensor that is on CUDA for Python and autocast, and on ``meta`` for autograd.

    Autograd would look for the streams of a device that is not here.
    """
    if options["device_for_backend_keys"].type == "cuda":
        options["dispatch_device"] = False
    return _make_subclass(cls, data, requires_grad, **options)


def _check_copy(source: Tensor, target: torch.device, non_blocking: bool) -> None:
    if CUDA not in (source.device, target) or source.device == target:
        return
    if not (non_blocking and getattr(source, "pinned", False)):
        raise WaitingError(f"a copy from {source.device} to {target} waits")


def _pinned(tensor: Tensor) -> Tensor:
    copy: Any = tensor.clone()
    copy.pinned = True
    return copy


def _apply(module: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Does what ``nn.Module.to`` needs; PyTorch's would swap tensors, which refuse to be."""
    for child in module.modules():
        for name, parameter in child._parameters.items():
            if parameter is not None:
                moved = fn(parameter.detach())
                child._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
        for name, buffer in child._buffers.items():
            child._buffers[name] = None if buffer is None else fn(buffer)
    return module
