"""The contract passes on the example backend and on no broken copy of it."""

from __future__ import annotations

import pytest

from testing.inner import CONTRACT, Recorder, run_contract
from testing.mutants import LEVELS, MUTANTS


def test_the_example_passes_all() -> None:
    found = Recorder()
    run_contract(CONTRACT, found)
    assert not found.failed
    assert not found.crashed
    assert len(found.passed) >= 140


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_copy_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    found = Recorder(stop=True, level=LEVELS.get(name, ""))
    run_contract(CONTRACT, found)
    assert found.failed
