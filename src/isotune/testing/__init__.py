"""The contract of a backend as a test suite: inherit its levels, build its nets, run pytest.

    from isotune.testing import Freezing, Heads, Shards, State, Steps

    class TestContract(Steps, Shards, Freezing, State, Heads):
        backend_name = "jax"

        def linear(self):
            return ...

Each level is a class. The nets are the methods of :class:`isotune.testing.nets.Nets`, whose
docstrings describe them; one that a level needs and the class does not have fails its tests.
``docs/adding-a-backend.md`` tells the rest.
"""

import pytest

_LEVELS = ("tensors", "updates", "multi_label", "steps", "freezing", "state", "detached", "heads")
_PARTS = ("classifiers", "subject", "surroundings", "exports", "explaining")
_STEPS = ("same_steps", "divided", "shards", "processes", "tracing", "tracing_graphs", "watching")
pytest.register_assert_rewrite(*(f"{__name__}.{name}" for name in (*_LEVELS, *_PARTS, *_STEPS)))

from isotune.testing.classifiers import Classifiers  # noqa: E402
from isotune.testing.contract import Contract  # noqa: E402
from isotune.testing.explaining import Explaining  # noqa: E402
from isotune.testing.exports import Exports  # noqa: E402
from isotune.testing.freezing import Freezing  # noqa: E402
from isotune.testing.heads import Heads  # noqa: E402
from isotune.testing.processes import Processes  # noqa: E402
from isotune.testing.shards import Shards  # noqa: E402
from isotune.testing.state import State  # noqa: E402
from isotune.testing.steps import Steps  # noqa: E402
from isotune.testing.tracing import Tracing  # noqa: E402
from isotune.testing.tracing_graphs import TracingGraphs  # noqa: E402

__all__ = [
    "Classifiers",
    "Contract",
    "Explaining",
    "Exports",
    "Freezing",
    "Heads",
    "Processes",
    "Shards",
    "State",
    "Steps",
    "Tracing",
    "TracingGraphs",
]
