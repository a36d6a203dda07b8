"""Two processes against PyTorch's own way of training on several, and what ends them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from isotune_torch.torchrun import launch

PROGRAM = Path(__file__).with_name("two_processes.py")


def test_two_processes(tmp_path: Path) -> None:
    """They train as DistributedDataParallel by hand does, and notice that one of them ends.

    A parameter that takes no gradients stays as it is, weight decay or not, as in one process.
    """
    started = launch(2, [str(PROGRAM), str(tmp_path)], tmp_path / "logs")
    path = os.pathsep.join(filter(None, sys.path))
    ran = subprocess.run(
        started.command,
        env={**os.environ, **started.environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 128 + 9, ran.stderr
    with np.load(tmp_path / "found.npz", allow_pickle=False) as file:
        found = dict(file)
    names = [name.removeprefix("by hand/") for name in found if name.startswith("by hand/")]
    assert len(names) == 7
    for name in names:
        assert_allclose(found[f"fast/{name}"], found[f"by hand/{name}"], rtol=1e-5, atol=1e-6)
        assert_allclose(found[f"exact/{name}"], found[f"by hand/{name}"], rtol=1e-5, atol=1e-6)
        if "unused" in name:
            assert_array_equal(found[f"fast/{name}"], np.ones(2, np.float32))
    assert not len(found["left"])
    sentence = "another process of the run has ended, or is not reached any more."
    assert found["told"].tolist() == [sentence] * 3
