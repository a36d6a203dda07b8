"""Tests of what is torch's own; what every backend promises is in tests/contract."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
