"""The first cases of every suite; ``python tests/hostile`` runs all of them."""

from __future__ import annotations

import pytest

from hostile.harness import Suite, all_suites, run_suite

CASES = 25


@pytest.mark.parametrize("suite", all_suites().values(), ids=lambda suite: suite.name)
def test_nothing_gets_through(suite: Suite) -> None:
    assert not run_suite(suite, seed=0, cases=range(CASES)).faults
