"""torchvision, imported without PyTorch's compiler.

``torchvision.ops.roi_align`` imports one function of ``torch._dynamo`` at its top, and with it
SymPy and a thousand other modules: 1.2 of the 2.5 CPU seconds that PyTorch and torchvision took
with torch 2.15 and torchvision 0.29. The function is for detection, under deterministic algorithms
on a GPU. Here it is imported when it is called. All else is torchvision as it is.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

MODULE = "torchvision.ops.roi_align"
COMPILER = "torch._dynamo"


class _Loader(SourceFileLoader):
    """Loads :data:`MODULE`, whose code is neither read from a cache nor written to one."""

    def get_code(self, fullname: str) -> CodeType:
        """Returns the module's code, in which calls import what is of the compiler."""
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        tree.body = [new for statement in tree.body for new in _deferred(statement)]
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code


class _Finder(MetaPathFinder):
    """Finds :data:`MODULE` where Python would, and gives it :class:`_Loader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns the module's spec, or None for every other module."""
        if fullname != MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


def _deferred(statement: ast.stmt) -> list[ast.stmt]:
    """Returns a function for each one that `statement` imports from the compiler, or itself."""
    if not (
        isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(COMPILER)
    ):
        return [statement]
    found: list[ast.stmt] = []
    for each in statement.names:
        name = each.asname or each.name
        found += ast.parse(
            f"def {name}(*args, **kwargs):\n"
            f"    from {statement.module} import {each.name} as function\n"
            f"    return function(*args, **kwargs)\n"
        ).body
    for new in found:
        for node in ast.walk(new):
            ast.copy_location(node, statement)
    return found


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Context in which importing torchvision does not import the compiler."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


with _without_compiler():
    import torchvision
    from torchvision.ops import StochasticDepth

__all__ = ["StochasticDepth", "torchvision"]
