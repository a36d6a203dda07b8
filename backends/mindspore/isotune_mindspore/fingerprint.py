"""Describes everything that decides a compiled graph, so that equal descriptions mean equal graphs.

A graph is decided by the code of the cells and functions in use, by all that they can read (their
attributes, globals and enclosing variables: MindSpore compiles them in as constants), and by
shapes and types of parameters and inputs. What cannot be described raises :class:`Indescribable`,
and its graph is not cached. Files of MindSpore, NumPy and Python stand for themselves: their
functions are not followed further, since the versions are part of each key.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore._c_expression import MetaFuncGraph_, typing

from isotune_mindspore.compiled_attributes import (
    NOT_COMPILED,
    attributes,
    state,
    written_in_python,
)
from isotune_mindspore.libraries import LIBRARY_MODULES, in_library, is_foreign, of_library

MAX_PARTS = 1_000_000
"""Number of parts of a description, which bounds its time. A Swin-T has about 40,000."""


class Indescribable(Exception):
    """Something may decide the graph in a way that its description would not show."""


class Description:
    """The description of a cell, part by part.

    Attributes:
        parameters: The parameters that the cell can reach.
        files: SHA-256 of each source file in use.
    """

    def __init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.files: dict[str, str] = {}
        self._parts: list[str] = []
        self._places: dict[int, int] = {}
        self._kept: list[object] = []

    def digest(self) -> str:
        """Returns the SHA-256 of everything that was added, as hexadecimal digits."""
        text = "\0".join([*self._parts, *(f"{p}={h}" for p, h in sorted(self.files.items()))])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def unchanged(self) -> bool:
        """Whether the source files are still the same."""
        try:
            return all(_file_digest(path) == digest for path, digest in self.files.items())
        except Indescribable:
            return False

    def add(self, value: Any) -> None:
        """Adds a value of any kind.

        Raises:
            Indescribable: It, or something within it, cannot be described.
        """
        if value is None or type(value) in (bool, int, float, complex, str, bytes):
            self._write(repr(value))
        elif isinstance(value, enum.Enum):
            self._write("enum", type(value).__qualname__, value.name)
        elif isinstance(value, np.generic):
            self._write("scalar", value.dtype.str, repr(value.item()))
        elif isinstance(value, (typing.Type, slice, range)):
            self._write("constant", type(value).__name__, repr(value))
        elif isinstance(value, tuple) or not self._again(value):
            self._add_object(value)

    def _add_object(self, value: Any) -> None:
        match value:
            case Parameter():
                self._add_parameter(value)
            case Tensor():
                self._add_tensor(value)
            case np.ndarray():
                self._add_array(value)
            case tuple() | list():
                self._write(type(value).__qualname__, str(len(value)))
                for item in value:
                    self.add(item)
            case Mapping():
                self._add_mapping(type(value).__qualname__, value)
            case set() | frozenset():
                self._add_set(value)
            case nn.Cell():
                self.add(type(value))
                self._add_mapping("cell", attributes(value))
            case ops.Primitive() | MetaFuncGraph_():
                self.add(type(value))
                self._add_mapping("operation", vars(value))
            case _:
                self._add_code(value)

    def _add_code(self, value: Any) -> None:
        match value:
            case type():
                self._add_class(value)
            case types.FunctionType():
                self._add_function(value)
            case types.MethodType():
                self.add(value.__func__)
                self.add(value.__self__)
            case types.BuiltinFunctionType():
                self._write("builtin", value.__module__ or "", value.__qualname__)
                if not isinstance(value.__self__, (types.ModuleType, types.NoneType)):
                    self.add(value.__self__)
            case types.ModuleType():
                self._write("module", value.__name__)
            case functools.partial():
                self._write("partial")
                self.add((value.func, value.args, value.keywords))
            case functools._lru_cache_wrapper():
                self.add(value.__wrapped__)  # what it keeps decides nothing
            case staticmethod() | classmethod():
                self._write(type(value).__name__)
                self.add(value.__func__)
            case property():
                self._write("property")
                self.add((value.fget, value.fset, value.fdel))
            case types.CodeType():
                self._add_instructions(value)
            case _ if written_in_python(type(value)):
                self.add(type(value))
                self._add_mapping("object", state(value))
            case _:
                raise Indescribable(f"a {type(value).__module__}.{type(value).__qualname__}")

    def _write(self, *parts: str) -> None:
        self._parts.extend(parts)
        if len(self._parts) > MAX_PARTS:
            raise Indescribable("more than a million parts")

    def _again(self, value: Any) -> bool:
        """Whether `value` has been added before; then its place is added."""
        place = self._places.setdefault(id(value), len(self._kept))
        if place < len(self._kept):
            self._write(f"@{place}")
            return True
        self._kept.append(value)  # or its id would soon be that of another object
        return False

    def _add_parameter(self, value: Parameter) -> None:
        if value.has_init:
            raise Indescribable("a parameter without values")
        self.parameters.append(value)
        flags = (value.requires_grad, value.layerwise_parallel, value.parallel_optimizer)
        self._write("parameter", value.name, repr(value.shape), str(value.dtype), repr(flags))

    def _add_tensor(self, value: Tensor) -> None:
        if value.has_init or type(value) is not Tensor:
            raise Indescribable(f"a {type(value).__qualname__} without values")
        self._write("tensor", str(value.dtype))
        if value.dtype == ms.bfloat16:
            value = value.astype(ms.float32)
        self._add_array(value.asnumpy())

    def _add_array(self, value: np.ndarray[Any, Any]) -> None:
        if value.dtype.hasobject:
            raise Indescribable("an array of objects")
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        self._write("array", value.dtype.str, repr(value.shape), digest)

    def _add_mapping(self, kind: str, value: Mapping[Any, Any]) -> None:
        self._write(kind, str(len(value)))
        for key, item in value.items():
            self.add(key)
            self.add(item)

    def _add_set(self, value: Iterable[Any]) -> None:
        items = list(value)
        if not all(type(item) in (bool, int, float, str, bytes) for item in items):
            raise Indescribable("a set of objects")
        self._write("set", *sorted(map(repr, items)))

    def _add_class(self, kind: type) -> None:
        self._write("class", kind.__module__, kind.__qualname__)
        if kind.__module__ == "builtins" or is_foreign(kind):
            return
        for base in kind.__bases__:
            self.add(base)
        library = kind.__module__.partition(".")[0] in LIBRARY_MODULES
        if library and (path := getattr(sys.modules.get(kind.__module__), "__file__", None)):
            self._add_file(path)
        for name, value in vars(kind).items():
            if name not in NOT_COMPILED and not (library and of_library(value)):
                self._write(name)
                self.add(value)

    def _add_function(self, function: types.FunctionType) -> None:
        code = function.__code__
        self._write("function", function.__module__ or "", function.__qualname__)
        self._add_file(code.co_filename)
        self.add((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not assigned yet
                self._write("empty")
        if not in_library(code.co_filename):
            self.add(code)
            self._add_globals(function)

    def _add_instructions(self, code: types.CodeType) -> None:
        self._write("code", code.co_code.hex(), repr(code.co_flags), repr(code.co_argcount))
        self._write(repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)))
        self.add(code.co_consts)

    def _add_globals(self, function: types.FunctionType) -> None:
        """Adds the values of the globals that a function reads, and of attributes of modules."""
        names = _names(function.__code__)
        for name in names:
            if name not in function.__globals__:
                continue
            value = function.__globals__[name]
            self._write(name)
            self.add(value)
            if isinstance(value, types.ModuleType):
                self._add_module(value, names)

    def _add_module(self, module: types.ModuleType, names: Iterable[str]) -> None:
        library = in_library(getattr(module, "__file__", None) or "")
        for name in names:
            value = vars(module).get(name)
            if value is None or isinstance(value, types.ModuleType):
                continue
            if not (library and of_library(value)):
                self._write(module.__name__, name)
                self.add(value)

    def _add_file(self, path: str) -> None:
        if path not in self.files:
            self.files[path] = _file_digest(path)


def _names(code: types.CodeType) -> list[str]:
    """Returns the names of globals and attributes in a function and those within it."""
    names = dict.fromkeys(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(_names(constant)))
    return list(names)


def _file_digest(path: str) -> str:
    """Returns the SHA-256 of a source file.

    Raises:
        Indescribable: It cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise Indescribable(f"code without a file ({path})") from error
