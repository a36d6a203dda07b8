"""Runs tests of catalogue backbones on every backend that builds them.

A test with the marker ``@pytest.mark.nets(...)`` takes ``subject`` (a backend with a net) and runs
once for each of these nets on each installed backend.
"""

from __future__ import annotations

import pytest

from contract.installed import subjects
from isotune.testing.subject import Subject


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nets(*names): the backbones that a test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if marker := metafunc.definition.get_closest_marker("nets"):
        chosen = [key for key, pair in subjects().items() if pair.entry.name in marker.args]
        metafunc.parametrize("subject", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    return subjects()[request.param]
