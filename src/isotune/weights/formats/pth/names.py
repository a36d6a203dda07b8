"""The names in PyTorch files that make tensors, each with a harmless replacement."""

from __future__ import annotations

from typing import Any

from isotune.weights.formats.files import Unreadable
from isotune.weights.formats.pth.inert import Inert, UnsupportedTensor
from isotune.weights.formats.pth.numpy import Array, ArrayType, encode, from_buffer, no_bytes
from isotune.weights.formats.pth.pickle import Global, Globals
from isotune.weights.formats.pth.tensors import DTYPES, Tensor, make_tensor

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
"""The dtypes of PyTorch's storage classes."""


class DType(str):
    """A dtype named in a file: a key of DTYPES, of a type that a file's own text never has."""


LAZY = "lazily negated or conjugated; call resolve_neg() or resolve_conj() before saving"


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor | Inert:
    if isinstance(storage, Inert):
        return UnsupportedTensor(storage.name)
    # Metadata contain the flags "conj" and "neg": the values differ from the stored ones.
    if metadata:
        return UnsupportedTensor(LAZY)
    return make_tensor(storage, offset, shape, strides)


def _typed_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Tensor | Inert:
    if isinstance(dtype, Inert):
        return UnsupportedTensor(dtype.name)
    if metadata:
        return UnsupportedTensor(LAZY)
    if not isinstance(dtype, DType):
        raise Unreadable("a tensor has no dtype")
    return make_tensor(storage, offset, shape, strides, str(dtype))


def _parameter(data: Any, requires_grad: Any, hooks: Any, state: Any = None) -> Any:
    return data


def _from_array(array: Any, *_options: Any) -> Any:
    # bfloat16 is stored as a float32 array, so the array is right in any case.
    return array


def _tensor_with_attributes(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    if isinstance(function, Inert):
        return UnsupportedTensor(function.name, arguments)
    if not (isinstance(function, Global) and function.call and isinstance(arguments, tuple)):
        raise Unreadable("a tensor's attributes are damaged")
    if function.call is _tensor_with_attributes:
        raise Unreadable("a tensor's attributes are damaged")
    return function.call(*arguments)


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    if not isinstance(items, (list, tuple)):
        raise Unreadable("an ordered dict in it is damaged")
    for item in items:
        if not (isinstance(item, (list, tuple)) and len(item) == 2):
            raise Unreadable("an ordered dict in it is damaged")
        result[item[0] if isinstance(item[0], (str, int)) else Inert("key")] = item[1]
    return result


def _size(sides: Any = ()) -> tuple[Any, ...]:
    return tuple(sides) if isinstance(sides, (tuple, list)) else ()


def _numpy(module: str, name: str, meaning: Global) -> dict[tuple[str, str], Global]:
    # NumPy 2 moved its modules.
    return {(f"numpy.{core}.{module}", name): meaning for core in ("core", "_core")}


NAMES: Globals = {
    ("collections", "OrderedDict"): Global(call=_ordered_dict),
    ("torch._utils", "_rebuild_tensor"): Global(call=_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Global(call=_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Global(call=_typed_tensor),
    ("torch._utils", "_rebuild_parameter"): Global(call=_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Global(call=_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): Global(call=_tensor_with_attributes),
    ("torch", "Size"): Global(call=_size),
    **{("torch", name): Global(value=DType(name)) for name in DTYPES},
    **{("torch", name): Global(value=DType(dtype)) for name, dtype in STORAGES.items()},
    **{("torch.storage", name): Global(value=DType(dtype)) for name, dtype in STORAGES.items()},
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): Global(call=_from_array),
    ("torch._utils", "_rebuild_xla_tensor"): Global(call=_from_array),
    ("numpy", "dtype"): Global(call=ArrayType),
    ("_codecs", "encode"): Global(call=encode),
    ("__builtin__", "bytes"): Global(call=no_bytes),
    **_numpy("multiarray", "_reconstruct", Global(call=Array)),
    **_numpy("numeric", "_frombuffer", Global(call=from_buffer)),
}
