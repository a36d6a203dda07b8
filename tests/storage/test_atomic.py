"""Files are whole, or as they were before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isotune.storage.atomic import atomic_file, atomic_folder, write_atomically


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file.txt").write_text("old")
    return tmp_path / "file.txt"


@pytest.mark.parametrize("content", ["Käfer\n", "Käfer\n".encode()])
def test_a_file_is_replaced(path: Path, content: str | bytes) -> None:
    write_atomically(path, content)
    assert path.read_bytes() == "Käfer\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_readers_find_the_old_file_until_the_new_one_is_whole(path: Path) -> None:
    with atomic_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file_alone(
    path: Path, error: type[BaseException]
) -> None:
    with pytest.raises(error), atomic_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_alone(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "half")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_in_one_process_do_not_meet(path: Path) -> None:
    with atomic_file(path) as first, atomic_file(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_that_lies_in_wait_is_not_followed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = path.with_name("victim")
    victim.write_text("untouched")
    monkeypatch.setattr("secrets.token_hex", lambda _: "00")
    trap = path.with_name(f".file.txt.{os.getpid()}.00")
    trap.symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_atomically(path, "new")
    assert (victim.read_text(), path.read_text()) == ("untouched", "old")
    assert trap.is_symlink()


def test_a_folder_appears_when_its_content_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    with pytest.raises(ValueError, match="half"), atomic_folder(target) as draft:
        (draft / "a").touch()
        raise ValueError("half")
    assert list(target.parent.iterdir()) == []
    with atomic_folder(target) as draft:
        (draft / "a").touch()
        assert not target.exists()
    assert list(target.parent.iterdir()) == [target]
    with pytest.raises(OSError, match="not empty"), atomic_folder(target) as draft:
        (draft / "b").touch()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert list(target.parent.iterdir()) == [target]
