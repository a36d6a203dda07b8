"""The borders: the core knows no framework, a backend only its own, and importing is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import isotune

SOURCE = Path(isotune.__file__).parent
FRAMEWORKS = ("torch", "torchvision", "mindspore")
BACKENDS = ("isotune_torch", "isotune_mindspore")
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
    blocked = ",".join([*FRAMEWORKS, *BACKENDS])
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


ROOMS = (
    ("__main__",),
    ("cli", "bench", "demo", "testing"),
    ("equivalence",),
    ("exporting", "fitting", "serving"),
    ("experiment",),
    ("progress", "observers"),
    ("reports",),
    ("runs",),
    ("training", "explaining"),
    ("distributed",),
    ("models",),
    ("weights",),
    ("catalogue",),
    ("data",),
    ("plugins", "hookspecs"),
    ("interfaces",),
    ("spec",),
    ("metrics",),
    ("storage",),
    ("errors", "randomness"),
    ("printable",),
)
"""The packages and modules of the core in travel order (docs/architecture.md): each imports only
what stands beside or below it."""

RANKS = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}

FRAMEWORK = re.compile(r"(torch|torchvision|timm|torch_npu|mindspore)(\.(?!json$)\w+)*")
"""A framework's own module, or one inside it."""


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields line and name of every module that is imported, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def upward(path: Path, room: str) -> list[str]:
    """Returns the imports of a file in `room` that go to a room above it."""
    found = []
    for line, name in imports(ast.parse(path.read_text("utf-8"))):
        package, *rest = name.split(".")
        if package == "isotune" and rest and RANKS[rest[0]] < RANKS[room]:
            found.append(f"{path}:{line} imports {name}")
    return found


def named_frameworks(path: Path) -> list[str]:
    """Returns where a file imports a framework, or has a string that is the name of one."""
    tree = ast.parse(path.read_text("utf-8"))
    names = list(imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append((node.lineno, node.value))
    return [
        f"{path}:{line} names {name}"
        for line, name in names
        if FRAMEWORK.fullmatch(name) or name.split(".")[0] in BACKENDS
    ]


def test_a_room_imports_only_what_stands_below_it() -> None:
    rooms = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.suffix != ".typed"}
    assert rooms - {"__init__", "__pycache__"} == RANKS.keys()
    found = []
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room != "__init__":  # the public names, from wherever they are
            found += upward(path, room)
    assert found == []


def test_nothing_names_a_framework_except_its_own_backend() -> None:
    formats = SOURCE / "weights" / "formats"  # files say which classes wrote them
    core = [path for path in SOURCE.rglob("*.py") if not path.is_relative_to(formats)]
    assert [place for path in core for place in named_frameworks(path)] == []


@pytest.mark.parametrize(
    ("line", "room"),
    [
        ("import isotune.experiment.run", "training"),
        ("from isotune import plugins", "spec"),
        ("def f():\n    from isotune.runs.folder import RunFolder", "weights"),
        ("if TYPE_CHECKING:\n    from isotune.cli.app import app", "experiment"),
    ],
)
def test_that_check_finds_imports_that_go_up(line: str, room: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(line)
    assert upward(tmp_path / "module.py", room)


@pytest.mark.parametrize(
    "line",
    [
        "x = backend == 'torch'",
        "x = backend.name in ('mindspore', 'jax')",
        "PACKAGES = ('numpy', 'torchvision')",
        "import torch.nn as nn",
        "def f():\n    from mindspore import nn",
        "build = 'isotune_torch.models:build'.partition(':')",
        "x = import_module('torch.nn')",
        "from isotune_mindspore import plugin",
        "match backend:\n    case 'torch': pass",
    ],
)
def test_that_check_finds_names_of_frameworks(line: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(line)
    assert named_frameworks(tmp_path / "module.py")
