"""Files that are no files: a sentence at once, whatever stands there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from isotune.storage.untrusted import open_regular, read_small


def link(path: Path) -> None:
    path.with_name("target").write_bytes(b"secret")
    path.symlink_to("target")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is not a regular file"),
        (link, "is a link"),
        (lambda path: path.symlink_to("/dev/zero"), "is a link"),
        (lambda path: path.symlink_to("nowhere"), "is a link"),
        (lambda path: None, "No such file"),
        (lambda path: path.write_bytes(b"12345"), "is larger than 4 bytes"),
    ],
)
def test_only_regular_files_of_bounded_size(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(OSError, match=message):
        read_small(path, limit=4)


def test_links_of_the_user_lead_to_regular_files_only(tmp_path: Path) -> None:
    path = tmp_path / "file"
    link(path)
    assert read_small(path, follow=True) == b"secret"
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="is not a regular file"):
        open_regular(path, follow=True)
