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


@pytest.mark.parametrize("target", ["1-epoch", "1-step", "2", "5"])
def test_a_tuned_loop_is_compared_with_the_same_runs(
    target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = []
    monkeypatch.setattr(
        targets.Case, "native", lambda case, *_: ran.append(("native", case.tuned)) or {}
    )
    monkeypatch.setattr(
        targets.Case, "native_step", lambda case, *_: ran.append(("native", case.tuned)) or {}
    )
    for name in ("isotune", "isotune_step"):
        monkeypatch.setattr(targets.Case, name, lambda case, *_: ran.append("isotune") or {})
    monkeypatch.setattr(sys, "argv", ["targets.py", "--target", target, "--tuned"])
    both = targets.parts(targets.arguments(), tmp_path)
    plain, tuned = both[: len(both) // 2], both[len(both) // 2 :]
    assert [f"{part.name}-tuned" for part in plain] == [part.name for part in tuned]
    assert all("tuned" not in part.settings for part in plain)
    assert all(part.settings["tuned"] for part in tuned)
    for part in both:
        part.first(0)
        part.second(0)
    assert ran.count(("native", False)) == ran.count(("native", True)) == 1
    assert ran.count("isotune") == len(plain)
