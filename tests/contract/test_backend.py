"""A backend and the offer that leads to it."""

from __future__ import annotations

from contract.installed import backends, opened, plugins
from isotune.interfaces.backend import Backend


def test_no_installed_backend_is_broken() -> None:
    assert opened() == backends()


def test_offer_tells_what_there_is_before_it_opens(backend: Backend) -> None:
    report = next(r for r in plugins().reports() if r.name == backend.name)
    assert report.problem is None
    assert report.install.startswith("pip install ")
    assert report.versions and all(report.versions.values())
    assert dict(backend.versions()) == report.versions
    assert report.devices[-1] == "cpu"


def test_backend_knows_its_device_and_threads(backend: Backend) -> None:
    assert backend.device == "cpu"
    assert backend.threads() >= 1


def test_backbones_are_sorted(backend: Backend) -> None:
    assert list(backend.backbones.names()) == sorted(set(backend.backbones.names()))
