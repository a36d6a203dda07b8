"""Folders of images that the demo writes once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isotune.errors import DatasetError
from isotune.storage import home
from isotune.storage.atomic import atomic_folder


def kept_folder(name: str, write: Callable[[Path], None]) -> Path:
    """Returns a dataset's folder under ``$ISOTUNE_HOME/datasets``; writes it if it is missing.

    Args:
        name: Name of the folder.
        write: Writes the images to a folder, which then gets that name.

    Raises:
        DatasetError: The folder cannot be written.
    """
    folder = home.datasets() / name
    if folder.is_dir():
        return folder
    try:
        with atomic_folder(folder) as draft:
            write(draft)
    except OSError as error:
        if folder.is_dir():  # another process was faster
            return folder
        raise DatasetError(
            f"{folder}: the demo's images cannot be written there: {error.strerror or error};"
            " set ISOTUNE_HOME to a folder that can be written."
        ) from error
    return folder
