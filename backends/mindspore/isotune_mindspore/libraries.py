"""Which code is MindSpore's, NumPy's and Python's own, whose versions stand for it."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import mindspore as ms
import numpy as np

LIBRARY_MODULES = frozenset({"mindspore", "numpy"}) | sys.stdlib_module_names

PACKAGES = (f"{Path(ms.__file__).parent}{os.sep}", f"{Path(np.__file__).parent}{os.sep}", "<frozen")
STANDARD = f"{Path(os.__file__).parent}{os.sep}"
INSTALLED = f"{os.sep}site-packages{os.sep}"
"""Where other packages lie within the folder of Python's own modules."""


def in_library(path: str) -> bool:
    """Whether a source file is one of theirs."""
    return path.startswith(PACKAGES) or (path.startswith(STANDARD) and INSTALLED not in path)


def of_library(value: object) -> bool:
    """Whether what a library's module or class has is its own, not what somebody has put there."""
    if isinstance(value, type):
        return value.__module__.partition(".")[0] in LIBRARY_MODULES
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return not isinstance(code, types.CodeType) or in_library(code.co_filename)


def is_foreign(kind: type) -> bool:
    """Whether a class is written in C++, so that its objects may have more than attributes."""
    return kind.__module__.startswith(("mindspore._c_expression", "pybind11"))
