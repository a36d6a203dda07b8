"""Where a dataset lies."""

from __future__ import annotations

from pathlib import Path

from isotune.data.download import ensure_dataset
from isotune.errors import DatasetError
from isotune.interfaces.dataset import DatasetFormat
from isotune.storage import home
from isotune.storage.paths import exists, expanded, inner_path, is_plain_name


def dataset_folder(dataset: DatasetFormat) -> Path:
    """Returns the folder of a loaded spec's dataset; downloads it if necessary.

    Of images in memory, which have none, it is the working directory.

    Raises:
        DatasetError: It does not exist and there is no address to download it from.
    """
    if dataset.in_memory:
        return Path()
    name = dataset.path
    path = home.datasets() / expanded(name)  # an absolute path stays as it is
    if dataset.url is not None and not exists(path):
        path = _download_folder(str(expanded(name)))
    try:
        entries = dataset.expected_entries()
        return ensure_dataset(path, dataset.url, dataset.sha256, entries, dataset.may_be_file)
    except DatasetError as error:
        beside = "" if path == Path(name) else f" Nor is there a {name} beside the spec."
        raise DatasetError(f"dataset.path: {error}{beside}") from error


def _download_folder(name: str) -> Path:
    try:
        return inner_path(home.datasets(), name)
    except ValueError as error:
        last = Path(name).name
        example = last if is_plain_name(last) else "images"
        raise DatasetError(
            f"dataset.path: there is no folder '{name}', and dataset.url cannot be unpacked there,"
            f" since {error}; an archive goes to a plain name, such as '{example}', in"
            f" {home.datasets()}."
        ) from error
