"""What is known of files: believed only where it cannot have changed unnoticed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from isotune.data.caches import files as module
from isotune.data.caches import stamps
from isotune.data.caches.files import FolderFiles
from isotune.storage.atomic import atomic_file
from isotune.storage.sealed import write_sealed

NAMES = ["a/1", "b/2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "d" / name
        path.parent.mkdir(parents=True)
        path.write_text(name)
    return tmp_path / "d"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from now on."""
    names: list[str] = []

    def digest(file: BinaryIO) -> bytes:
        names.append(file.read().decode()[-1])  # the files' contents end as their names
        file.seek(0)
        return stamps.file_digest(file)

    monkeypatch.setattr(module, "file_digest", digest)
    return names


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the runs take place long after the files were written."""
    now = time.time_ns() + 60_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: now)


def content(folder: Path) -> list[bytes]:
    return [digest.tobytes() for digest in FolderFiles(folder, NAMES).digests(workers=1)]


@pytest.mark.usefixtures("later")
def test_files_that_stay_as_they_are_are_read_once(folder: Path, read: list[str]) -> None:
    first = content(folder)
    assert read == ["1", "2"]
    assert first == [stamps.content_digest(name.encode()) for name in NAMES]
    assert content(folder) == first
    assert read == ["1", "2"]


@pytest.mark.usefixtures("later")
def test_a_file_replaced_with_size_and_time_kept_is_read_again(
    folder: Path, read: list[str]
) -> None:
    first = content(folder)
    path = folder / "a/1"
    status = path.stat()
    path.write_text("A/1")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    read.clear()
    assert content(folder) == [stamps.content_digest(b"A/1"), first[1]]
    assert read == ["1"]
    os.utime(path, ns=(7, 7))
    assert content(folder) == [stamps.content_digest(b"A/1"), first[1]]
    assert read == ["1", "1"]


def test_a_change_within_the_clocks_tick_is_noticed(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp cannot tell, so a file that has just changed is read again until it is older."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    same = {folder / name: stamps.stamp(str(folder / name)) for name in NAMES}
    monkeypatch.setattr(module, "stamp", lambda path: same[Path(path)])
    first = content(folder)
    (folder / "a/1").write_text("A/1")
    read.clear()
    assert content(folder) == [stamps.content_digest(b"A/1"), first[1]]
    assert read == ["1", "2"]
    monkeypatch.setattr(time, "time_ns", lambda: now + 60_000_000_000)
    content(folder)
    read.clear()
    content(folder)
    assert read == []


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("missing", ["inodes", "change times"])
def test_where_stamps_say_little_the_content_decides(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "inodes":
        original = stamps.stamp
        monkeypatch.setattr(module, "stamp", lambda path: (*original(path)[:3], 0))
    else:
        monkeypatch.setattr(module, "settled", lambda files, now: np.zeros(len(files), np.bool_))
    first = content(folder)
    read.clear()
    assert content(folder) == first
    assert read == ["1", "2"]


@pytest.mark.usefixtures("later")
def test_a_copied_folder_is_read_and_equal(folder: Path, read: list[str]) -> None:
    first = content(folder)
    copied = shutil.copytree(folder, folder.with_name("copy"))
    read.clear()
    assert content(copied) == first
    assert read == ["1", "2"]


@pytest.mark.usefixtures("later")
def test_a_problem_is_known_by_content_as_long_as_the_same_code_checks(folder: Path) -> None:
    checked: list[str] = []

    def check(file: BinaryIO, path: str) -> str:
        assert file.read()
        checked.append(Path(path).name)
        return "broken" if Path(path).name == "2" else ""

    def problems(version: str) -> dict[int, str]:
        checked.clear()
        files = FolderFiles(folder, NAMES)
        found = files.examine(range(2), check, version, workers=1)
        files.save()
        return found

    FolderFiles(folder, NAMES).digests()
    assert (problems("1"), checked) == ({1: "broken"}, ["1", "2"])
    assert (problems("1"), checked) == ({1: "broken"}, [])
    os.utime(folder / "b/2", ns=(7, 7))
    assert (problems("1"), checked) == ({1: "broken"}, [])
    (folder / "a/1").write_text("other")
    assert (problems("1"), checked) == ({1: "broken"}, ["1"])
    assert (problems("2"), checked) == ({1: "broken"}, ["1", "2"])


def test_neither_pipes_nor_missing_files_are_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    digests = FolderFiles(folder, ["pipe", "a/1", "missing"]).digests()
    assert digests.any(axis=1).tolist() == [False, True, False]


@pytest.mark.usefixtures("later")
def test_facts_are_found_by_name_and_an_earlier_versions_cache_is_no_obstacle(
    folder: Path, read: list[str]
) -> None:
    files = FolderFiles(folder, NAMES)
    found = files.examine(range(2), lambda file, path: path[-1].strip("1") and "broken", "1")
    files.save()
    turned = FolderFiles(folder, ["new", *reversed(NAMES)])
    read.clear()
    (folder / "new").write_text("new 3")
    again = turned.examine(range(3), lambda file, path: "", "1")
    assert (found, again, read) == ({1: "broken"}, {1: "broken"}, ["3"])
    assert (turned.digests()[[2, 1]] == files.digests()).all()
    with atomic_file(files._file) as file:
        old = b'{"version": "1", "names": "a/1", "stamps": "", "problems": {}}'
        write_sealed(file, files._key, np.frombuffer(old, np.uint8))
    read.clear()
    assert (FolderFiles(folder, NAMES).digests() == files.digests()).all()
    assert sorted(read) == ["1", "2"]


@pytest.mark.usefixtures("later")
def test_files_are_examined_a_few_at_a_time(folder: Path, read: list[str]) -> None:
    files = FolderFiles(folder, NAMES)
    assert files.examine([1], lambda file, path: "broken", "1") == {1: "broken"}
    assert read == ["2"]
    files.save()
    assert files.digests().any(axis=1).all()
    assert read == ["2", "1"]
    again = FolderFiles(folder, NAMES).examine(range(2), lambda file, path: "", "1")
    assert (again, read) == ({1: "broken"}, ["2", "1", "1"])
