from __future__ import annotations

import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isotune.data.archive import unpack
from isotune.errors import DatasetError


def make_zip(path: Path, entries: dict[str, str], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return path


def make_tar(path: Path, *entries: tuple[str, Any], mode: str = "w:gz") -> Path:
    """Entries are (name, content), or (name, (type, target))."""
    with tarfile.open(path, mode) as archive:
        for name, value in entries:
            entry = tarfile.TarInfo(name)
            data = b""
            if isinstance(value, str):
                data = value.encode()
                entry.size = len(data)
            else:
                entry.type, entry.linkname = value
            archive.addfile(entry, io.BytesIO(data))
    return path


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


SOFT, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE
HOSTILE: dict[str, Callable[[Path], Path]] = {
    "zip-parent": lambda path: make_zip(path, {"a/../../evil": "x"}),
    "zip-absolute": lambda path: make_zip(path, {"/evil": "x"}),
    "zip-backslash": lambda path: make_zip(path, {"..\\evil": "x"}),
    "zip-drive": lambda path: make_zip(path, {"C:/evil": "x"}),
    "zip-link": lambda path: make_zip(path, {"a": "/etc"}, stat.S_IFLNK | 0o777),
    "tar-parent": lambda path: make_tar(path, ("../evil", "x")),
    "tar-absolute": lambda path: make_tar(path, ("/evil", "x")),
    "tar-soft-out": lambda path: make_tar(path, ("a", (SOFT, "../outside"))),
    "tar-soft-absolute": lambda path: make_tar(path, ("a", (SOFT, "/etc/passwd"))),
    "tar-hard-out": lambda path: make_tar(path, ("a", (HARD, "../outside"))),
    "tar-write-through": lambda path: make_tar(path, ("a", (SOFT, "..")), ("a/evil", "x")),
    "tar-soft-chain": lambda path: make_tar(
        path, ("a", (SOFT, ".")), ("b", (SOFT, "a/../outside")), ("c", (SOFT, "b"))
    ),
    "tar-device": lambda path: make_tar(path, ("a", (tarfile.CHRTYPE, ""))),
    "tar-pipe": lambda path: make_tar(path, ("a", (tarfile.FIFOTYPE, ""))),
}


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


@pytest.mark.parametrize("keep", [0, 30, -30])
@pytest.mark.parametrize("make", [make_zip, lambda path, files: make_tar(path, *files.items())])
def test_a_truncated_archive_is_an_error(make: Any, keep: int, tmp_path: Path) -> None:
    archive = make(tmp_path / "data", FILES)
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(DatasetError):
        unpacked(archive)
