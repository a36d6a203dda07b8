"""``isotune.testing`` as a package: what it costs, and what it says of a file that lacks a net."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import isotune.testing
from testing.inner import Recorder, run_contract

WITHOUT_NETS = """
from isotune.testing import Freezing
from numpy_backend.backbone import Net, linear_layer
from numpy_backend.layers import Flatten

class TestContract(Freezing):
    backend_name = "numpy"

    def linear(self):
        return Net(flatten=Flatten(), fc=linear_layer(192, 3))
"""


def test_a_missing_net_is_a_failure_that_says_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "test_without_nets.py"
    file.write_text(WITHOUT_NETS)
    found = Recorder()
    run_contract(file, found)
    assert found.passed and not found.crashed
    assert all("tiny_" not in name for name in found.passed)
    for name, message in found.failed.items():
        net = "tiny_bn" if "tiny_bn" in name else "tiny_dropout"
        assert message.startswith(f"the contract needs the net '{net}': give TestContract a method")
        assert f"`{net}(self)`" in message
    assert len(found.failed) > 5


def test_importing_isotune_imports_no_pytest() -> None:
    code = "import sys, isotune; print({'pytest', 'hypothesis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_guide_names_tests_that_exist() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "adding-a-backend.md").read_text("utf-8")
    names = set(isotune.testing.__all__) - {"Contract"}
    levels = [getattr(isotune.testing, name) for name in names]
    tests = {name for level in levels for name in dir(level) if name.startswith("test_")}
    named = set(re.findall(r"`(test_\w+)", guide))
    assert len(named) > 10
    assert not [name for name in named if not any(test.startswith(name) for test in tests)]
    assert all(f"`{level.__name__}`" in guide for level in levels)
