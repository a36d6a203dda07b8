"""Runs the contract in a pytest within the pytest, on the example backend."""

from __future__ import annotations

from pathlib import Path

import pytest

import numpy_backend.plugin
from isotune.plugins import plugins

EXAMPLE = Path(numpy_backend.__file__).parents[1]
CONTRACT = EXAMPLE / "tests" / "test_contract.py"


class Recorder:
    """Notes how the tests of an inner pytest ended.

    Attributes:
        stop: Whether to stop once a test has failed.
        level: Name of the level whose tests run before all others.
        passed: Names of the tests that passed.
        failed: Messages of the tests that found a difference, by name.
        crashed: Names of the tests that ended otherwise: skipped, or by an error that may be in
            the backend itself.
    """

    def __init__(self, stop: bool = False, level: str = "") -> None:
        self.stop = stop
        self.level = level
        self.passed: list[str] = []
        self.failed: dict[str, str] = {}
        self.crashed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        items.sort(key=lambda item: not item.function.__qualname__.startswith(f"{self.level}."))

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is None:
            self.passed += [item.name] if call.when == "call" else []
        elif call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
            self.failed[item.name] = str(call.excinfo.value)
            item.session.shouldfail = self.stop and f"{item.name} has failed"
        else:
            self.crashed.append(item.name)


def run_contract(file: Path, recorder: Recorder, *options: str) -> None:
    """Runs a file as its author does who has installed the example, with options of pytest."""
    quiet = ["-qq", "--no-header", "--tb=no", "-pno:cacheprovider", "-pno:xdist"]
    quiet.append("-pno:unraisableexception")  # it collects garbage after each run
    config = ["-c", str(EXAMPLE / "pyproject.toml"), f"--rootdir={file.parent}"]
    plugins.register(numpy_backend.plugin, "numpy")
    try:
        pytest.main([str(file), *config, *quiet, *options], plugins=[recorder])
    finally:
        plugins.unregister(numpy_backend.plugin)
