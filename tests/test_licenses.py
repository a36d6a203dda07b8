"""``docs/licenses.md``: every package that pyproject.toml names is on it, with a license."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_direct_dependency_is_on_the_page() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "licenses.py"))
    text = tool["PAGE"].read_text("utf-8").partition("## What Isotune asks for")[2]
    rows = re.findall(r"^\| ([\w.-]+) \| ([\w, -]+) \| (.+) \|$", text.partition("\n## ")[0], re.M)
    found = {name: extras.split(", ") for name, extras, license in rows if license}
    assert found.keys() - {"package"} == tool["direct"]().keys(), "run: make licenses"
    assert {name: found[name] for name in tool["direct"]()} == tool["direct"]()
