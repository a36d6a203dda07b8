"""What all tests share."""

from __future__ import annotations

import gc
import os
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
    """Keeps what tests cache out of the user's own ``$ISOTUNE_HOME``.

    Workers share compiled graphs, so that each compiles only what no other one has. They begin with
    none: what is wrong with a graph, or with its key, shows in the same run.
    """
    home = tmp_path_factory.mktemp("home")
    if "PYTEST_XDIST_WORKER" in os.environ:
        graphs = tmp_path_factory.getbasetemp().parent / "graphs"
        graphs.mkdir(exist_ok=True)
        (home / "cache").mkdir()
        (home / "cache" / "graphs").symlink_to(graphs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISOTUNE_HOME", str(home))
        yield


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> Iterator[None]:
    """Excludes what earlier modules have left in memory from garbage collection.

    MindSpore collects before it compiles. With all that the tests of one worker import and cache
    that takes up to a second, three times as long as compiling a small net.
    """
    yield
    _freeze()


def pytest_collection_finish() -> None:
    _freeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()
