"""Promises about a fresh process: what it imports, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys

FRAMEWORKS = {"torch", "torchvision", "mindspore"}
HEAVY = FRAMEWORKS | {
    "numpy",
    "pydantic",
    "PIL",
    "requests",
    "matplotlib",
    "sklearn",
    "safetensors",
}


def imported_by(code: str) -> set[str]:
    """Returns the top-level modules that a new process has imported after `code`."""
    program = f"import json, sys\n{code}\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules: list[str] = json.loads(result.stdout.splitlines()[-1])
    return {name.partition(".")[0] for name in modules}


def test_importing_isotune_imports_nothing_heavy():
    assert not imported_by("import isotune") & HEAVY


def test_the_help_imports_nothing_heavy():
    code = (
        "from isotune.cli import main\n"
        "sys.argv = ['isotune', '--help']\n"
        "try: main()\nexcept SystemExit as end: assert end.code == 0"
    )
    modules = imported_by(code)
    assert "typer" in modules
    assert not modules & HEAVY


def test_checking_a_spec_and_comparing_runs_import_no_framework():
    code = (
        "import isotune, isotune.reports.comparison_tables\n"
        "isotune.load_spec('ants-and-bees')\n"
        "from isotune.plugins import plugins; plugins.backend_names()"
    )
    assert not imported_by(code) & FRAMEWORKS


def test_the_program_exits_with_its_code_and_without_a_traceback():
    program = "from isotune.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, "run", "no-such-recipe"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("isotune: no-such-recipe: there is no such file or recipe.")
