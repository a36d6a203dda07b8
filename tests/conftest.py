"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says nothing on a busy machine; timings are for benchmarks.
settings.register_profile("isotune", deadline=None)
settings.load_profile("isotune")
