"""Many files read by many threads: few are open, and none is mistaken for another."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isotune.storage.open_files import OpenFiles, read_at, version_of


def test_few_files_stay_open(tmp_path: Path) -> None:
    opened = []

    def opener(path: Path):  # type: ignore[no-untyped-def]
        opened.append(path.open("rb"))
        return opened[-1]

    files = OpenFiles(opener, kept=3)
    for number in range(40):
        (tmp_path / str(number)).write_text(f"{number:>4}")

    def read(number: int) -> int:
        with files.lent(tmp_path / str(number)) as file:
            file.seek(0)
            return int(file.read())

    order = [*range(40)] * 10
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(read, order)) == order
    assert len([file for file in opened if not file.closed]) == 3
    with pytest.raises(RuntimeError), files.lent(tmp_path / "0"):
        raise RuntimeError
    assert len([file for file in opened if not file.closed]) <= 3


def test_a_file_that_changed_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("0123456789")
    with path.open("rb") as file:
        version = version_of(file)
    assert read_at(path, version, 3, 4) == b"3456"
    assert read_at(path, version, 8, 4) == b"89"
    path.write_text("0123")
    with pytest.raises(OSError, match="has changed since it was opened"):
        read_at(path, version, 0, 1)
