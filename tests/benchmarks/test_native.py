from __future__ import annotations

import ast
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "benchmarks" / "native"
SCRIPTS = sorted(NATIVE.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_hand_written_loops_import_nothing_of_isotune(script: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    assert names and not [name for name in names if name.startswith("isotune")]
