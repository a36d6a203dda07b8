"""The contract on the example backend, by the file that its author wrote."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

import numpy_backend.plugin
from isotune.plugins import plugins

FILE = Path(numpy_backend.__file__).parents[1] / "tests" / "test_contract.py"
_spec = importlib.util.spec_from_file_location("numpy_backend_contract", FILE)
assert _spec and _spec.loader
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


@pytest.fixture(autouse=True, scope="module")
def installed() -> Iterator[None]:
    """Stands in for the entry point of a backend that is installed."""
    plugins.register(numpy_backend.plugin, "numpy")
    yield
    plugins.unregister(numpy_backend.plugin)


class TestNumpy(_module.TestContract):
    pass
