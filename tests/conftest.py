"""What all tests share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a busy machine; timings are for benchmarks. Examples
# that share a `tmp_path` write all that they read.
settings.register_profile(
    "isotune",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("isotune")


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what tests cache out of the user's own ``$ISOTUNE_HOME``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISOTUNE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def pytest_collection_finish() -> None:
    """Excludes what importing has created from garbage collection.

    MindSpore's trainers collect before they compile, which takes 0.3 s in a process with both
    frameworks.
    """
    gc.collect()
    gc.freeze()
