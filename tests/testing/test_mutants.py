"""The contract passes on the example backend and on no broken copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import numpy_backend.plugin
from isotune.plugins import plugins
from testing.mutants import MUTANTS

EXAMPLE = Path(numpy_backend.__file__).parents[1]


class Recorder:
    """Notes how the tests of an inner pytest ended, which stops when one has found a difference.

    A test that only crashes, in the mutant itself perhaps, has found none.
    """

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.crashed: list[str] = []
        self.caught_by: str | None = None

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is None:
            self.passed += [item.name] if call.when == "call" else []
        elif call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
            self.caught_by = item.name
            item.session.shouldstop = f"{item.name} has caught it"
        else:
            self.crashed.append(item.name)


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    plugins.register(numpy_backend.plugin, "numpy")
    yield
    plugins.unregister(numpy_backend.plugin)


def run_contract() -> Recorder:
    """Runs the example's one file, as its author does."""
    recorder = Recorder()
    file, rootdir = EXAMPLE / "tests" / "test_contract.py", f"--rootdir={EXAMPLE}"
    quiet = ["-qq", "--no-header", "--tb=no", "-pno:cacheprovider", "-pno:xdist"]
    config = ["-c", str(EXAMPLE / "pyproject.toml")]
    pytest.main([str(file), rootdir, *config, *quiet], plugins=[recorder])
    return recorder


def test_the_example_passes_all() -> None:
    found = run_contract()
    assert found.caught_by is None
    assert not found.crashed
    assert len(found.passed) >= 120


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_copy_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    assert run_contract().caught_by is not None
