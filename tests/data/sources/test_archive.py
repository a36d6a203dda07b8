"""Archives that are damaged, hostile or unusual, and what is said of them."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from archives import BOMBS, HARD, HOSTILE, SOFT, tar_bytes, zip_bytes
from isotune.data.archives import budget
from isotune.data.archives.open import list_archive
from isotune.data.integrity.check import find_broken
from isotune.data.sources.archive import ArchiveDataset
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource


def png(level: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (level, level, level)).save(file, "PNG")
    return file.getvalue()


TREE = {"train/a/1.png": png(1), "train/b/2.png": png(2)}


def opened(path: Path, content: bytes, split: str = "train") -> ImageSource:
    path.write_bytes(content)
    return ArchiveDataset(path=str(path)).open(path, split)


def lzma_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("train/a/1.png", png())
    return file.getvalue()


def encrypted_zip() -> bytes:
    content = bytearray(zip_bytes(TREE))
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (zip_bytes(TREE)[:-30], "it is a zip archive that is cut off"),
        (tar_bytes(TREE, mode="w")[:1580], r"it is cut off in its entry 'train/b/2\.png'"),
        (tar_bytes(TREE, mode="w")[:2048], "it is damaged or cut off"),
        (tar_bytes(TREE), r"compressed as a whole.* uncompress it to a plain \.tar"),
        (encrypted_zip(), r"'train/a/1\.png' is encrypted; save it without a password"),
        (lzma_zip(), r"'train/a/1\.png' is compressed by method 14; pack it again by 'deflate'"),
        (zip_bytes({**TREE, "../evil.png": b""}), r"'\.\./evil\.png' would lie outside"),
        (zip_bytes({**TREE, "d/" * 99 + "x": b""}), "lies in more than 64 folders"),
        (b"<html>", "neither a zip nor a tar archive: .*HTML"),
        (zip_bytes({"val/a/1.png": b""}), r"has no split 'train'.* It has: val\. dataset\.splits"),
        (zip_bytes({"a/1.png": b"", "b/1.png": b""}), r"It has: a, b\. If these are classes"),
        (zip_bytes({**TREE, "train/c/": b"", "train/d/x": b""}), "no image in class 'c', 'd'"),
    ],
)
def test_a_wrong_archive_is_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=sentence) as error:
        opened(tmp_path / "images", content)
    assert str(error.value).startswith(str(tmp_path / "images"))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_shows_no_file_outside_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    archive = HOSTILE[name](tmp_path / "data")
    if name.startswith("tar"):
        archive.write_bytes(gzip.decompress(archive.read_bytes()))
    try:
        members = list_archive(archive)
    except DatasetError:
        return
    assert list(members.names) in ([], ["a/"], ["a/evil"])
    assert sum(members.left_out.values())


@pytest.mark.parametrize("name", ["zip", "zip-many-entries", "zip-many-files", "tar-long-name"])
def test_a_bomb_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MIN_LIMIT", 1 << 20)
    monkeypatch.setattr(budget, "RATIO", 1)
    monkeypatch.setattr(budget, "MAX_ENTRIES", 50)
    build, sentence = BOMBS[name]
    content = build()
    (tmp_path / "data").write_bytes(gzip.decompress(content) if content[:1] == b"\x1f" else content)
    with pytest.raises(DatasetError, match=sentence):
        list_archive(tmp_path / "data")


def test_links_are_the_files_they_lead_to_and_the_last_of_a_name_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    links = {
        "train/a/soft.png": (SOFT, "../b/2.png"),
        "train/a/hard.png": (HARD, "train/b/2.png"),
        "train/a/out.png": (SOFT, "../../../etc/passwd"),
    }
    old = {"./train/a/1.png": png(9)}
    source = opened(tmp_path / "images.tar", tar_bytes({**old, **TREE, **links}, mode="w"))
    names = [source.name(index) for index in range(len(source))]
    assert names == ["a/1.png", "a/hard.png", "a/soft.png", "b/2.png"]
    assert [source.load(index).getpixel((0, 0))[0] for index in range(4)] == [1, 2, 2, 2]
    (line,) = caplog.messages
    assert line.endswith(
        "left out links to no file in it (1), earlier entries of the same name (1)"
    )


def test_damaged_content_is_a_broken_image(tmp_path: Path) -> None:
    content = zip_bytes(TREE)
    place = content.index(b"2.png") + len("2.png") + 12
    damaged = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
    (broken,) = find_broken(opened(tmp_path / "images.zip", damaged))
    assert broken.identity == f"{tmp_path}/images.zip/train/b/2.png"
    assert broken.reason == "is damaged in the archive"


def test_an_archive_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    source = opened(path, zip_bytes(TREE))
    source.digests()
    assert source.unchanged()
    path.write_bytes(zip_bytes({name: png(7) for name in TREE}))
    assert not source.unchanged()
    with pytest.raises(DatasetError, match=r"1\.png: .*has changed since it was opened"):
        source.load(0)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["train.zip", "train.tar"], "several archives of the split 'train': 'train.tar', 'train"),
        (["training.zip", "val.zip"], r"Did you mean 'training'. It has 'training\.zip', 'val"),
        ([], r"there is no archive in it; their names end in \.zip or \.tar\. Of folders"),
    ],
)
def test_a_folder_without_the_archive_says_what_it_has(
    names: list[str], sentence: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=sentence):
        ArchiveDataset(path=str(tmp_path)).open(tmp_path, "train")


def test_an_archive_of_class_folders_can_be_divided(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(zip_bytes({"flowers/a/1.png": png(), "flowers/b/x/2.png": png()}))
    dataset = ArchiveDataset(path=str(path))
    assert dataset.open_all(path).classes == ("a", "b")
    with pytest.raises(DatasetError, match="is split already into train and val; name these"):
        path.write_bytes(zip_bytes({**TREE, "val/a/1.png": b""}))
        dataset.open_all(path)
