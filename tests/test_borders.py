"""The borders: the core knows no framework, a backend only its own, and importing is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import isotune

SOURCE = Path(isotune.__file__).parent
FRAMEWORKS = ("torch", "torchvision", "mindspore")
IMPORT_ALL = """
import importlib, pkgutil, sys

blocked, package = set(sys.argv[2].split(",")), importlib.import_module(sys.argv[1])

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked by the test", name=name)

sys.meta_path.insert(0, Refuse())
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def python(code: str, *arguments: str) -> str:
    """Runs code in a fresh interpreter and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_the_core_imports_without_a_framework() -> None:
    blocked = ",".join([*FRAMEWORKS, "isotune_torch", "isotune_mindspore"])
    imported = int(python(IMPORT_ALL, "isotune", blocked))
    assert imported == len(list(SOURCE.rglob("*.py"))) - 1, "is an __init__.py missing?"


@pytest.mark.parametrize(
    ("backend", "own", "others"),
    [
        ("isotune_torch", "torch", "mindspore,isotune_mindspore"),
        ("isotune_mindspore", "mindspore", "torch,torchvision,isotune_torch"),
    ],
)
def test_a_backend_imports_without_the_other_framework(backend: str, own: str, others: str) -> None:
    pytest.importorskip(own)
    python(IMPORT_ALL, backend, others)


def test_importing_and_loading_a_spec_is_light() -> None:
    code = "import sys, isotune; print(*sys.modules)"
    heavy = {"numpy", "pydantic", "PIL", "yaml", "pluggy", *FRAMEWORKS}
    assert not heavy & set(python(code).split())
    code = "import sys, isotune; isotune.load_spec('ants-and-bees'); print(*sys.modules)"
    heavy = {"PIL", "requests", "matplotlib", "safetensors", *FRAMEWORKS}
    assert not heavy & set(python(code).split())


def comparisons(path: Path) -> list[str]:
    """Returns where a file compares something with a framework's name, or imports one."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        words: list[str] = []
        if isinstance(node, ast.Compare):
            words = [
                leaf.value
                for leaf in ast.walk(node)
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
            ]
        elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
            words = [str(node.value.value)]
        elif isinstance(node, ast.Import):
            words = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            words = [(node.module or "").split(".")[0]]
        if {*FRAMEWORKS, "isotune_torch", "isotune_mindspore"} & set(words):
            found.append(f"{path}:{node.lineno}")
    return found


def test_the_core_never_asks_which_backend_it_is() -> None:
    assert [place for path in SOURCE.rglob("*.py") for place in comparisons(path)] == []


def test_that_check_finds_what_it_looks_for(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    for line in (
        "x = backend == 'torch'",
        "x = backend.name in ('mindspore', 'jax')",
        "import torch.nn as nn",
        "def f():\n    from mindspore import nn",
        "match backend:\n    case 'torch': pass",
    ):
        file.write_text(line)
        assert comparisons(file), line
