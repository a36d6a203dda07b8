from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isotune.data import decode
from isotune.data.decode import open_rgb
from isotune.data.integrity import check as checking
from isotune.data.integrity.check import clean, find_broken
from isotune.data.sources.folder import FolderSource
from isotune.data.sources.subset import Subset
from isotune.errors import DatasetError

Save = Callable[..., Path]


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-30])
    return path


@pytest.fixture
def folder(save: Save, tmp_path: Path) -> Path:
    """Four images, the second and the third of them broken."""
    save("d/train/a/1.jpg", 40, 30)
    truncate(save("d/train/a/2.jpg", 40, 30))
    save("d/train/b/3.png").write_text("no image")
    save("d/train/b/4.png", seed=4)
    return tmp_path / "d"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from now on."""
    names: list[str] = []

    def note(file: BinaryIO, name: str, max_pixels: int) -> str:
        names.append(Path(name).name)
        return original(file, name, max_pixels)

    original = checking.check_image
    monkeypatch.setattr(checking, "check_image", note)
    return names


@pytest.mark.parametrize("workers", [1, 3])
def test_broken_images_are_found_in_order(folder: Path, workers: int) -> None:
    source = FolderSource(folder, "train")
    broken = find_broken(source, workers)
    assert [(image.index, image.identity) for image in broken] == [
        (1, str(folder / "train/a/2.jpg")),
        (2, str(folder / "train/b/3.png")),
    ]
    assert "truncated" in broken[0].reason


def test_policy_error_names_all_of_them_with_reasons(folder: Path) -> None:
    with pytest.raises(DatasetError) as error:
        clean(FolderSource(folder, "train"), "error")
    message = str(error.value)
    assert "2 images are broken" in message
    assert f"{folder / 'train/a/2.jpg'}: " in message
    assert f"{folder / 'train/b/3.png'}: it is not an image" in message


def test_policy_error_counts_what_it_does_not_name(save: Save, tmp_path: Path) -> None:
    for number in range(23):
        save(f"train/a/{number:02}.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"(?s)23 images .*19\.png.*and 3 more") as error:
        clean(FolderSource(tmp_path, "train"), "error")
    assert "20.png" not in str(error.value)


def test_policy_skip_leaves_them_out(folder: Path) -> None:
    source = FolderSource(folder, "train")
    sound, skipped = clean(source, "skip")
    assert [sound.identify(index) for index in range(len(sound))] == [
        str(folder / "train/a/1.jpg"),
        str(folder / "train/b/4.png"),
    ]
    assert sound.labels.tolist() == [0, 1]
    assert sound.classes == ("a", "b")
    assert sound.load(1).tobytes() == source.load(3).tobytes()
    assert [image.index for image in skipped] == [1, 2]
    assert find_broken(sound) == []


def test_a_class_that_loses_all_images_is_an_error(folder: Path) -> None:
    (folder / "train/b/4.png").unlink()
    with pytest.raises(DatasetError, match="no image of class 'b'"):
        clean(FolderSource(folder, "train"), "skip")


def test_a_verdict_holds_until_the_file_changes(folder: Path, opened: list[str]) -> None:
    first = find_broken(FolderSource(folder, "train"))
    assert sorted(opened) == ["1.jpg", "2.jpg", "3.png", "4.png"]
    opened.clear()
    assert find_broken(FolderSource(folder, "train")) == first
    assert opened == []
    os.utime(folder / "train/b/4.png", ns=(1, 1))  # and its content stays
    truncate(folder / "train/a/1.jpg")
    again = find_broken(FolderSource(folder, "train"))
    assert opened == ["1.jpg"]
    assert [image.index for image in again] == [0, 1, 2]


def test_a_new_file_is_all_that_is_read_again(folder: Path, save: Save, opened: list[str]) -> None:
    find_broken(FolderSource(folder, "train"))
    opened.clear()
    save("d/train/a/0.png")
    (folder / "train/b/4.png").unlink()
    (folder / "train/b/5.png").symlink_to("nowhere")
    for _ in range(2):
        found = find_broken(FolderSource(folder, "train"))
        assert [Path(image.identity).name for image in found] == ["2.jpg", "3.png", "5.png"]
        assert "no such file" in found[2].reason
    assert opened == ["0.png"]


def test_a_damaged_memory_is_told_and_everything_checked_again(
    folder: Path, home: Path, opened: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = find_broken(FolderSource(folder, "train"))
    (memory,) = (home / "cache/checked").iterdir()
    data = memory.read_bytes()
    memory.write_bytes(data.replace(b"truncated", b"excellent"))
    opened.clear()
    assert find_broken(FolderSource(folder, "train")) == first
    assert sorted(opened) == ["1.jpg", "2.jpg", "3.png", "4.png"]
    assert caplog.text.count("SHA-256") == 1
    assert memory.read_bytes() != data.replace(b"truncated", b"excellent")


def test_other_code_or_another_limit_checks_again(
    folder: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find_broken(FolderSource(folder, "train"))
    monkeypatch.setattr(checking, "_decoders", lambda: {"pillow": "1.0"})
    opened.clear()
    assert find_broken(FolderSource(folder, "train")) == first
    assert sorted(opened) == ["1.jpg", "2.jpg", "3.png", "4.png"]
    limited = find_broken(FolderSource(folder, "train", max_pixels=40 * 30 - 1))
    assert [image.index for image in limited] == [0, 1, 2]
    assert limited[0].reason == (
        "its 40 x 30 pixels are more than 1199, the value of dataset.max_pixels"
    )


def test_a_lack_of_memory_says_nothing_about_the_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(decode, "to_rgb", fail)
        with pytest.raises(DatasetError, match=r"4\.png: there is not enough memory for it"):
            clean(FolderSource(folder, "train"), "skip")
        with pytest.raises(DatasetError, match=r"4\.png: there is not enough memory for it"):
            clean(Subset(FolderSource(folder, "train"), [3]), "skip")
        with pytest.raises(DatasetError, match=r"4\.png: .* not enough memory"):
            open_rgb(folder / "train/b/4.png")
    assert [image.index for image in find_broken(FolderSource(folder, "train"))] == [1, 2]


def test_an_image_replaced_with_size_and_time_kept_is_noticed(folder: Path) -> None:
    source = FolderSource(folder, "train")
    assert [image.index for image in find_broken(source)] == [1, 2]
    path = folder / "train/b/4.png"
    status = path.stat()
    path.write_bytes(b"?" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert [image.index for image in find_broken(FolderSource(folder, "train"))] == [1, 2, 3]


def test_a_home_that_cannot_be_written_only_forgets(folder: Path, home: Path) -> None:
    home.write_text("a file, where no folder can be made")
    assert len(find_broken(FolderSource(folder, "train"))) == 2


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "train/a/pipe.jpg")
    reasons = [image.reason for image in find_broken(FolderSource(folder, "train"))]
    assert "is not a regular file" in reasons


def encoded(progressive: bool) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", progressive=progressive)
    return file.getvalue()


@given(st.booleans(), st.floats(0, 1), st.none() | st.tuples(st.floats(0, 1), st.integers(0, 255)))
@settings(max_examples=80)
def test_the_quick_check_of_a_jpeg_says_what_decoding_says(
    tmp_path: Path, progressive: bool, cut: float, change: tuple[float, int] | None
) -> None:
    data = bytearray(encoded(progressive))
    if change:
        data[int(change[0] * (len(data) - 1))] = change[1]
    path = tmp_path / "train/a/1.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[: round(len(data) * cut)])
    try:
        open_rgb(path)
        broken = 0
    except DatasetError:
        broken = 1
    assert len(find_broken(FolderSource(tmp_path, "train"))) == broken
