"""Progress of runs that Python starts: where it appears, and where it does not."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

import isotune
from tiny import experiment, make_images, numpy_plugins


def test_lines_go_to_standard_error_unless_nobody_wants_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = experiment(make_images(tmp_path / "images"))
    where = {"backend": "numpy", "plugins": numpy_plugins()}
    isotune.run(spec, output=tmp_path / "shown", **where)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tiny: numpy on cpu\n")
    assert [line.split()[0] for line in err.splitlines() if "/2 " in line] == ["1/2", "2/2"]
    isotune.run(spec, output=tmp_path / "silent", progress=False, **where)
    folds = {**spec, "dataset": {"path": str(tmp_path / "images")}}
    isotune.cross_validate(folds, folds=2, output=tmp_path / "folds", progress=False, **where)
    assert capsys.readouterr() == ("", "")
    isotune.cross_validate(folds, folds=2, output=tmp_path / "more", **where)
    assert capsys.readouterr().err.count("fold ") == 2


def test_a_terminal_has_a_bar_of_its_own_that_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    spec = experiment(make_images(tmp_path / "images"))
    isotune.run(spec, backend="numpy", plugins=numpy_plugins(), output=tmp_path / "run")
    shown = terminal.getvalue()
    assert "best val accuracy" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0  # the cursor comes back
