from __future__ import annotations

import pytest

from isotune.interfaces.backend import Backend

pytest.importorskip("mindspore")

from isotune_mindspore.plugin import MindSporeOffer


@pytest.fixture(scope="session")
def backend() -> Backend:
    return MindSporeOffer().open("cpu")
