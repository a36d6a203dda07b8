"""Progress of runs that Python starts: where it appears, and where it does not."""

from __future__ import annotations

import io
import os
import subprocess
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


def test_a_notebook_has_a_bar_that_moves_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    images = make_images(tmp_path / "images")
    code = (
        "import isotune, tiny\nfrom IPython.display import DisplayHandle\nmoves = []\n"
        "DisplayHandle.update = lambda self, html, update=DisplayHandle.update:"
        " (moves.append(html.data), update(self, html))\n"
        f"spec = {experiment(images)!r}\n"
        "run = isotune.run(spec, backend='numpy', plugins=tiny.numpy_plugins())\n"
        "assert '1/2 validating <progress value=3 max=3>' in ''.join(moves)"
    )
    cells = [nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("run")]
    file = tmp_path / "notebook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
    # In a process of its own: the client would leave its event loop to the tests that follow.
    execute = "import sys; from nbclient.cli import main; sys.exit(main())"
    path = os.pathsep.join(filter(None, sys.path))  # with the folders of tests, for the kernel
    subprocess.run(
        [sys.executable, "-c", execute, "--inplace", str(file)],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
    )
    notebook = nbformat.read(file, 4)
    (ran, shown) = (cell.outputs for cell in notebook.cells)
    (bar,) = (output.data["text/html"] for output in ran if "data" in output)
    assert bar == ""
    lines = "".join(output.text for output in ran if output.output_type == "stream")
    assert lines.startswith("tiny: numpy on cpu\n")
    assert lines.splitlines()[-1].startswith("best val accuracy")
    assert {output.get("name", "stdout") for output in ran} == {"stdout"}
    assert shown[0].data["text/html"].startswith("<table>")
    assert shown[0].data["text/plain"].startswith("Run(tiny: ")
