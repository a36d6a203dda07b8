from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isotune.errors import IsotuneError, RunError, SpecError
from isotune.reports.drawing import (
    check_matplotlib,
    new_figure,
    styled,
    text_width,
    wrap,
    write_figure,
)


@given(st.text("ab W/_-$iM", max_size=60), st.floats(20, 200))
def test_wrapped_lines_are_narrow_and_lose_nothing_but_spaces(text: str, width: float):
    lines = wrap(text, width, 9).splitlines()
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(text_width(line, 9) <= width for line in lines)


def test_a_notebook_shows_a_figure_without_pyplot():
    with styled():
        figure = new_figure(2, 1)
    formatted = figure._repr_png_()
    with Image.open(io.BytesIO(formatted)) as image:
        assert image.format == "PNG"
        assert image.size == (220, 110)


def test_a_users_own_style_changes_nothing_and_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(matplotlib.rcParams, "figure.facecolor", "black")
    monkeypatch.setitem(matplotlib.rcParams, "savefig.facecolor", "black")
    with styled():
        figure = new_figure(1, 1)
    with Image.open(io.BytesIO(figure._repr_png_())) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert matplotlib.rcParams["figure.facecolor"] == "black"


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")])
def test_a_files_name_decides_its_format(tmp_path: Path, name: str, start: bytes):
    with styled():
        figure = new_figure(1, 1)
    path = write_figure(figure, tmp_path / "new" / name)
    assert path.read_bytes().startswith(start)
    assert [each.name for each in path.parent.iterdir()] == [name]


def test_what_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with styled():
        figure = new_figure(1, 1)
    with pytest.raises(SpecError, match=r"a\.gif: a figure's name should end in \.png"):
        write_figure(figure, "a.gif")
    with pytest.raises(RunError, match=r"a\.png: cannot be written"):
        write_figure(figure, tmp_path / "file" / "a.png")


def test_a_missing_matplotlib_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(IsotuneError, match=r'pip install "isotune\[plot\]"'):
        check_matplotlib()
