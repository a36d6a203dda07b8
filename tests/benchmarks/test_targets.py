from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import targets


def test_both_sides_of_a_pair_use_a_named_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["targets.py", "--target", "1-step", "--device", "auto"])
    with pytest.raises(SystemExit, match="2"):
        targets.arguments()
    assert "both sides must use the same" in capsys.readouterr().err
