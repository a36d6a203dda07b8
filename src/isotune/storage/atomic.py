"""Files and folders that appear under their name only when they are complete."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a binary file that replaces `path` at the end of the block.

    The bytes go to a hidden temporary file in the same folder, which is flushed to disk and then
    renamed. If the block raises, the temporary file is removed and `path` stays as it was.

    Raises:
        OSError: the file cannot be written.
    """
    draft = _draft(path)
    file = draft.open("xb")  # creates a new file, and so follows no link
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, so that it is either whole or as it was before.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder that becomes `path`, missing or empty before, at the end of the block.

    If the block raises, the new folder is removed.

    Raises:
        OSError: the folder cannot be created, or `path` is a folder with content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path)
    draft.mkdir()
    try:
        yield draft
        if path.is_dir():
            path.rmdir()  # Windows cannot replace even an empty folder
        draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _draft(path: Path) -> Path:
    # Other processes, and killed ones whose process id is in use again, have other names.
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")


def is_draft_of(entry: str, name: str) -> bool:
    """Whether a file's name is that of a temporary file of `name`, which a killed process left.

    While another process may be writing `name`, the temporary file may be its own.
    """
    return re.fullmatch(rf"\.{re.escape(name)}\.[0-9]+\.[0-9a-f]{{6}}", entry) is not None


def flush_folder(folder: Path) -> None:
    """Flushes the names of a folder's files to disk.

    Raises:
        OSError: the folder cannot be flushed.
    """
    if os.name == "nt":  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
