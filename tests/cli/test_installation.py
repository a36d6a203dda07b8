"""The page of ``isotune backends``, ``--version``, the help and the shell's completion."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cli.conftest import Isotune
from isotune.cli.app import PANELS
from isotune.cli.complete import specs
from isotune.plugins import BackendReport, plugins

GOOD = BackendReport("numpy", "", {"numpy": "1.26.4"}, ["cpu"])
BAD = BackendReport("jax", problem="backend 'jax' cannot be used: no jax. Install it with `x`.")


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[BackendReport]:
    found = [GOOD]
    monkeypatch.setattr(plugins, "reports", lambda: found)
    return found


def test_the_help_has_all_commands_by_purpose(isotune: Isotune) -> None:
    sections = isotune("--help").stdout.split("Every day:\n")[1]
    for panel in list(PANELS)[1:]:
        assert f"\n{panel}:\n" in sections
    assert len(PANELS["Every day"]) == 10
    first = sections.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in first if line.startswith("  ") and line[2] != " "] == [
        "fit", "run", "resume", "check", "evaluate",
        "predict", "compare", "export", "serve", "show",
    ]  # fmt: skip


def test_the_version_is_the_first_line_of_what_a_report_needs(isotune: Isotune) -> None:
    from isotune import __version__

    first, second, *rest = isotune("--version").stdout.splitlines()
    assert first == f"isotune {__version__}"
    assert second.startswith(f"python {sys.version.split()[0]} on ")
    assert {"numpy", "pillow"} <= {line.split()[0] for line in rest}


def test_what_is_wrong_is_named_with_its_remedy(
    isotune: Isotune,
    reports: list[BackendReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "a-file"
    file.touch()
    monkeypatch.setenv("ISOTUNE_HOME", str(file))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("isotune.data.workers.usable_cpus", lambda: 4)
    monkeypatch.setattr("isotune.equivalence.machine.usable_cpus", lambda: 4)
    reports.append(BAD)
    result = isotune("backends")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-5:] == [
        BAD.problem,
        "",
        f"home: {file} is no folder, so that nothing can be kept in {file}; set ISOTUNE_HOME to a"
        " folder, or remove it.",
        "",
        "OMP_NUM_THREADS is 1, so that frameworks compute with 1 of 4 CPUs; unset it, unless"
        " something else needs the others.",
    ]


def test_what_a_disk_or_a_plugin_lacks_is_named(
    isotune: Isotune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_like_this")
    metadata = tmp_path / "broken-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-package\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[isotune]\nbroken = broken\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = [plugins.report("broken")]
    monkeypatch.setattr(plugins, "reports", lambda: found)

    def full(**options: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    lines = isotune("backends").stdout.splitlines()
    assert lines[-3:] == [
        "plugin 'broken' cannot be imported: No module named 'nothing_like_this'. It comes with"
        " package 'broken-package': repair that, or uninstall it.",
        "",
        f"home: no space is left in {tmp_path}; `isotune cache clear --all` removes what can be"
        " computed again, and ISOTUNE_HOME moves it to another disk.",
    ]


def test_no_usable_backend_is_a_failure_in_json_too(
    isotune: Isotune, reports: list[BackendReport]
) -> None:
    reports[:] = [BAD]
    assert isotune("backends").exit_code == 1
    result = isotune("backends", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["usable"], found["problems"]) == (False, [])
    assert found["backends"][0]["problem"] == BAD.problem
    assert found["versions"]["isotune"]
    assert "mindspore" in found["extras"]


def completed(words: str, current: int) -> set[str]:
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(current)}
    code = (
        "import sys; from isotune.cli import main\n"
        "try: main()\nfinally: print(*({'torch', 'mindspore'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "_ISOTUNE_COMPLETE": "complete_bash", **variables},
        capture_output=True,
        text=True,
    )
    *words, imported = done.stdout.splitlines()
    assert imported == "", "no framework is imported"
    return set(words)


def test_a_shell_completes_commands_and_values() -> None:
    assert "certify" in completed("isotune ce", 1)
    assert {"torch", "mindspore"} <= completed("isotune run --backend ", 3)
    assert "ants-and-bees" in completed("isotune run ants", 2)
    assert completed("isotune recipes cifar10-l", 2) == {"cifar10-lenet"}
    assert "resnet18" in completed("isotune convert --backbone res", 3)
    assert completed("isotune cache clear gr", 3) == {"graphs"}


def test_specs_are_completed_in_folders_too(tmp_path: Path) -> None:
    for name in ("a/spec.yaml", "a/image.png", "a/.git/x", "a/more/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert specs(f"{tmp_path}/a/") == [f"{tmp_path}/a/more", f"{tmp_path}/a/spec.yaml"]
    assert specs(f"{tmp_path}/a/[") == specs(f"{tmp_path}/b/") == []


def test_a_package_that_is_missing_beside_another_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    broken = tmp_path / "torchvision" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise ModuleNotFoundError(\"No module named 'torchvision'\")")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "isotune", "backends", "--json"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    (torch,) = (each for each in json.loads(done.stdout)["backends"] if each["name"] == "torch")
    assert torch["problem"] == (
        "backend 'torch' cannot be used: No module named 'torchvision'. Install it with"
        ' `pip install "isotune[torch]"`.'
    )
