from __future__ import annotations

from pathlib import Path

import pytest

from isotune.data.sources.files import find_images
from isotune.errors import DatasetError


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``a/b/2.JPG``, ``a/1.png``, ``a/notes.txt`` and ``x[1].png`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/b/2.JPG", "a/1.png", "a/notes.txt", "a/folder.png/3.png", "x[1].png", "x1.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
    return tmp_path


def names(*given: str) -> list[str]:
    return [path.as_posix() for path in find_images(given)]


def test_a_folder_stands_for_its_images_however_deep(images: Path):
    assert names("a") == ["a/1.png", "a/b/2.JPG", "a/folder.png/3.png"]


def test_hidden_files_are_left_out_unless_a_pattern_spells_them(
    images: Path, caplog: pytest.LogCaptureFixture
):
    for name in ("a/.b/4.png", "a/__MACOSX/1.png", "a/._1.png", "a/b/photo.psd"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
    assert names("a") == ["a/1.png", "a/b/2.JPG", "a/folder.png/3.png"]
    assert caplog.messages == ["a: left out 3 hidden entries, 1 .txt, 1 .psd"]
    assert names("a/*/*.png") == ["a/folder.png/3.png"]
    assert names("a/__MACOSX/*") == ["a/__MACOSX/1.png"]
    assert names("a/.b/*") == names("a/.b") == ["a/.b/4.png"]
    assert names(f"{images}/a/../a/*.png") == [f"{images.as_posix()}/a/../a/1.png"]


def test_a_pattern_stands_for_the_files_it_matches_and_not_for_folders(images: Path):
    assert names("a/*.png") == ["a/1.png"]
    assert names("a/**/*.png") == ["a/1.png", "a/folder.png/3.png"]
    assert names("a/**") == ["a/1.png", "a/b/2.JPG", "a/folder.png/3.png", "a/notes.txt"]
    assert names(f"{images}/a/?.png") == [f"{images.as_posix()}/a/1.png"]


def test_a_name_that_is_there_is_no_pattern(images: Path):
    assert names("x[1].png") == ["x[1].png"]
    Path("x[1].png").unlink()
    assert names("x[1].png") == ["x1.png"]


def test_names_stay_in_order_and_as_often_as_they_are_given(images: Path):
    assert names("none.png", "x1.png", "a/1.png", "x1.png", "n" * 300) == [
        "none.png",
        "x1.png",
        "a/1.png",
        "x1.png",
        "n" * 300,
    ]


def test_what_stands_for_nothing_is_told(images: Path):
    with pytest.raises(DatasetError, match=r"^q\*: matches no file\.$"):
        find_images(["q*"])
    with pytest.raises(DatasetError, match=r"^the path of an image is empty\.$"):
        find_images([""])
    Path("empty").mkdir()
    with pytest.raises(DatasetError, match="empty: there is no image in it"):
        find_images(["empty"])
