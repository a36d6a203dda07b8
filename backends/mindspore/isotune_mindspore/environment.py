"""Environment variables that MindSpore reads when it is imported."""

from __future__ import annotations

import os
import tempfile

ERRORS_ONLY = "3"


def prepare() -> None:
    """Keeps MindSpore's log to errors and its crash dumps out of the working folder.

    Must run before the first ``import mindspore``; ``ISOTUNE_VERBOSE=1`` keeps the full log.
    Variables that the user has set stay.
    """
    if os.environ.get("ISOTUNE_VERBOSE") != "1":
        os.environ.setdefault("GLOG_v", ERRORS_ONLY)
    # A graph that does not compile is dumped to $MS_OM_PATH/rank_0/om.
    os.environ.setdefault("MS_OM_PATH", tempfile.gettempdir())
