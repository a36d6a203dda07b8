from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from archives import BOMBS, HOSTILE, make_tar, make_zip, tar_bytes, zip_bytes
from isotune.data.archives import budget
from isotune.data.archives.unpack import unpack
from isotune.errors import DatasetError


def unpacked(archive: Path) -> dict[str, str]:
    folder = archive.parent / "into"
    folder.mkdir()
    unpack(archive, folder)
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


FILES = {"top/a/1.jpg": "one", "top/b/ü 2.jpg": "two"}


def test_zip_and_tar_unpack_to_their_files(tmp_path: Path) -> None:
    assert unpacked(make_zip(tmp_path / "data", FILES)) == FILES
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        shutil.rmtree(tmp_path / "into")
        assert unpacked(make_tar(tmp_path / "data", *FILES.items(), mode=mode)) == FILES


def test_links_to_files_of_the_archive_become_files(tmp_path: Path) -> None:
    archive = make_tar(
        tmp_path / "data.tar",
        ("a/soft", (tarfile.SYMTYPE, "../b/1.jpg")),
        ("b/1.jpg", "one"),
        ("a/hard", (tarfile.LNKTYPE, "b/1.jpg")),
    )
    assert unpacked(archive) == {"a/soft": "one", "b/1.jpg": "one", "a/hard": "one"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    archive = HOSTILE[name](tmp_path / "data")
    before = set(tmp_path.iterdir())
    with pytest.raises(DatasetError):
        unpacked(archive)
    assert set(tmp_path.iterdir()) == before | {tmp_path / "into"}
    assert (tmp_path / "outside").read_text() == "secret"
    assert not [path for path in (tmp_path / "into").rglob("*") if path.is_symlink()]


def test_an_archive_larger_than_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DatasetError, match="1001 bytes"):
        unpacked(make_zip(tmp_path / "data", {"a": "x" * 1001}))


@pytest.mark.parametrize("pack", [zip_bytes, tar_bytes])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "an entry without a name"),
        ("d/" * 2000 + "x", r"its entry 'd/[d/]+\.\.\.[d/]+x' lies in more than 64 folders"),
        ("x" * 300, r"file name too long \('x{300}'\)"),
    ],
)
def test_an_impossible_name_is_one_error(
    pack: Any, name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(pack({"a/1.jpg": b"x", name: b"y"}))
    with pytest.raises(DatasetError, match=message):
        unpacked(tmp_path / "data")


@pytest.mark.parametrize("keep", [0, 30, -30])
@pytest.mark.parametrize("make", [make_zip, lambda path, files: make_tar(path, *files.items())])
def test_a_truncated_archive_is_an_error(make: Any, keep: int, tmp_path: Path) -> None:
    archive = make(tmp_path / "data", FILES)
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DatasetError):
        unpacked(archive)


def test_a_tar_archive_cut_between_two_entries_is_an_error(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "data", *FILES.items(), mode="w")
    archive.write_bytes(archive.read_bytes()[:1024])  # one header, one block of content
    with pytest.raises(DatasetError, match="cut off"):
        unpacked(archive)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_damaged_byte_anywhere_is_noticed_or_harmless(mode: str, tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "data", *FILES.items(), mode=mode)
    content = archive.read_bytes()
    for position in range(0, len(content), 37 if mode == "w" else 3):
        changed = bytearray(content)
        changed[position] ^= 0x55
        archive.write_bytes(changed)
        shutil.rmtree(tmp_path / "into", ignore_errors=True)
        try:
            found = unpacked(archive)
        except (DatasetError, UnicodeDecodeError):
            continue
        # A plain tar archive has no checksum of contents; a compressed one has.
        assert len(found) == len(FILES)
        assert mode == "w" or found == FILES


@pytest.mark.parametrize("name", BOMBS)
def test_a_decompression_bomb_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "MIN_LIMIT", 1 << 20)
    monkeypatch.setattr(budget, "MAX_ENTRIES", 50)
    content, message = BOMBS[name]
    (tmp_path / "data").write_bytes(content())
    with pytest.raises(DatasetError, match=message) as error:
        unpacked(tmp_path / "data")
    assert "\n" not in str(error.value)
    written = sum(file.stat().st_size for file in (tmp_path / "into").rglob("*") if file.is_file())
    assert written <= 1 << 20


def test_an_archive_of_bitmaps_is_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MIN_LIMIT", 0)
    entries = {f"{n}.bmp": bytes(Random(n).choices(b"\0\xff", k=30_000)) for n in range(5)}
    for make in (zip_bytes, tar_bytes):
        (tmp_path / "data").write_bytes(make(entries))
        folder = tmp_path / make.__name__
        folder.mkdir()
        unpack(tmp_path / "data", folder)
        assert len(list(folder.iterdir())) == 5


def test_archives_in_an_archive_stay_files(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(zip_bytes({"inner.zip": zip_bytes({"a": b"x"})}))
    (tmp_path / "into").mkdir()
    unpack(tmp_path / "data", tmp_path / "into")
    assert [path.name for path in (tmp_path / "into").rglob("*")] == ["inner.zip"]
