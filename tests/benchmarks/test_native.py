from __future__ import annotations

import ast
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = [
    *sorted((BENCHMARKS / "native").glob("*.py")),
    *sorted((BENCHMARKS / "peers").glob("with_*.py")),
    BENCHMARKS / "peers" / "task.py",
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_hand_written_loops_and_peers_import_nothing_of_isotune(script: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    assert names and not [name for name in names if name.startswith("isotune")]
