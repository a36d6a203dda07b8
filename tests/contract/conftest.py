"""Runs each contract test on every backend, and on those of its nets that the backend builds.

A test that takes ``backend`` runs once a backend. One that takes ``subject`` (a backend with a
net) runs once for each net of its marker ``@pytest.mark.nets(...)``.
"""

from __future__ import annotations

import pytest

from contract.installed import backends, subjects
from contract.subject import Subject
from isotune.interfaces.backend import Backend


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "nets(*names): the nets a contract test is about")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends(), indirect=True, scope="session")
    if "subject" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("nets")
        names = marker.args if marker else ()
        chosen = [key for key, pair in subjects().items() if pair.entry.name in names]
        metafunc.parametrize("subject", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Backend:
    return backends()[request.param]


@pytest.fixture(scope="session")
def subject(request: pytest.FixtureRequest) -> Subject:
    return subjects()[request.param]
