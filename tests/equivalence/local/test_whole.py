from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from isotune.equivalence.local.whole import WholeArrays
from isotune.errors import RunError


def test_each_content_is_kept_once_and_leaves_no_file(tmp_path: Path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with WholeArrays(tmp_path) as whole:
        whole.keep_call("conv", 0, [array], array + 1)
        array += 1  # the framework reuses its memory
        whole.keep_call("relu", 1, [array, array - 5], array * 2)
        assert list(whole) == [
            "inputs/conv/0",
            "forward/conv",
            "inputs/relu:1/0",
            "inputs/relu:1/1",
            "forward/relu:1",
        ]
        assert whole["inputs/conv/0"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert whole["inputs/relu:1/1"].tolist() == [[-4, -3, -2], [-1, 0, 1]]
        assert whole["inputs/relu:1/0"] is whole["forward/conv"]
        assert not whole["forward/conv"].flags.writeable
        assert whole.size <= 4 * 64
        kept = whole["forward/conv"]
    assert not list(tmp_path.iterdir())
    assert kept.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_shape_counts_as_content():
    with WholeArrays() as whole:
        whole.keep("a", np.zeros((2, 3), np.float32))
        whole.keep("b", np.zeros(6, np.float32))
        whole.keep("none", np.zeros((0, 3), np.float32))
        whole.keep("scalar", np.float32(3) * np.ones((), np.float32))
        assert [array.shape for array in whole.values()] == [(2, 3), (6,), (0, 3), ()]


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with WholeArrays(tmp_path) as whole:
        whole.keep("first", np.ones(1 << 18, np.float32))
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 29))
        with pytest.raises(RunError, match=r"has no room for 1 MiB more; a smaller batch_size"):
            whole.keep("second", np.zeros(1 << 18, np.float32))
    with pytest.raises(RunError, match="No such file or directory"):
        WholeArrays(tmp_path / "missing")
