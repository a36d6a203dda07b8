"""Every backend of this repository works here, or its framework is not installed."""

from __future__ import annotations

from contract.installed import backends, opened


def test_no_installed_backend_is_broken() -> None:
    assert opened() == backends()
