"""The only names that a PyTorch file may use, each with a harmless replacement."""

from __future__ import annotations

from typing import Any

from isotune.weights.formats.files import Unreadable
from isotune.weights.formats.pth.pickle import IGNORED, Global, Globals
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


def _tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> Tensor:
    # Metadata contain the flags "conj" and "neg": the values differ from the stored ones.
    if metadata:
        raise Unreadable("it holds a lazily negated or conjugated tensor; call resolve_neg() first")
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
) -> Tensor:
    if metadata or not isinstance(dtype, DType):
        raise Unreadable("a tensor has no dtype, or is lazily negated or conjugated")
    return make_tensor(storage, offset, shape, strides, str(dtype))


def _parameter(data: Any, requires_grad: Any, hooks: Any, state: Any = None) -> Any:
    return data


def _tensor_with_attributes(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
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
        if not (isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str)):
            raise Unreadable("an ordered dict in it is damaged")
        result[item[0]] = item[1]
    return result


def _size(sides: Any = ()) -> tuple[Any, ...]:
    return tuple(sides) if isinstance(sides, (tuple, list)) else ()


def _ignore(*_arguments: Any) -> Any:
    return IGNORED


_IGNORED_CALLS = (
    ("torch", "device"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("argparse", "Namespace"),
)
"""Names of other objects in training checkpoints: settings, and numbers such as the best
accuracy. They are ignored."""

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
    **{name: Global(call=_ignore) for name in _IGNORED_CALLS},
}
