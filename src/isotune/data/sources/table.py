"""Format ``table``: a row for each image, with its path and its labels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from isotune.data.caches.files import FolderFiles
from isotune.data.declared import without_images
from isotune.data.folders import files_ending
from isotune.data.sources.encoded import EncodedSource
from isotune.data.tables.find import KINDS, SHOWN, FoundColumns, find_columns, find_table
from isotune.data.tables.index import read_images
from isotune.data.tables.places import ImagePaths
from isotune.errors import DatasetError, listed
from isotune.interfaces.dataset import DatasetFormat, ImageSource, NoSplitError
from isotune.spec.columns import Column, ColumnsSpec
from isotune.spec.values import AsFileName
from isotune.storage.paths import expanded, is_dir

log = logging.getLogger(__name__)


class TableDataset(ColumnsSpec, DatasetFormat):
    """A table with a row for each image: CSV, TSV, JSON lines or Parquet.

    Its rows, in their order, are the images. See `data.md` for what each column may hold.

    Attributes:
        path: The table, or a folder with a table for each split, named like it, or with only one:
            absolute, relative to the spec's file or the working directory, or under
            ``$ISOTUNE_HOME/datasets``.
        splits: Names of the splits, in the column of splits or as the tables are named.
        split_column: Name of the column of splits; null finds it (``split``, ``subset``), unless
            each split has its own table.
        root: Folder that paths of images are relative to and must be inside; absolute, or
            relative to the table's folder, which null stands for.
    """

    may_be_file: ClassVar[bool] = True

    format: Literal["table"] = "table"
    split_column: Column | None = None
    root: Annotated[str, Field(min_length=1), AsFileName] | None = None

    @model_validator(mode="after")
    def _stays_in_the_download(self) -> TableDataset:
        root = expanded(self.root or ".")
        if self.url is not None and (root.is_absolute() or ".." in root.parts):
            raise ValueError(
                "root should be a folder inside the dataset that url downloads, as in 'images'"
            )
        return self

    @classmethod
    def recognizes(cls, place: Path) -> bool:
        """Whether it is a table, or a folder with tables in it or in its folder ``train``."""
        if is_dir(place):
            folders = (place, place / "train") if is_dir(place / "train") else (place,)
            return any(files_ending(folder, tuple(KINDS)) for folder in folders)
        return place.suffix.lower() in KINDS

    def open(self, folder: Path, split: str, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens a split."""
        return TableSource(folder, split, self, classes)

    def open_all(self, folder: Path, classes: tuple[str, ...] | None = None) -> ImageSource:
        """Opens all images of a table without splits."""
        return TableSource(folder, None, self, classes)

    def expected_entries(self) -> set[str]:
        """Returns the names that a table of each split may have."""
        splits = (self.splits.train, self.splits.val)
        return {f"{split}{ending}" for split in splits for ending in KINDS}


class TableSource(EncodedSource):
    """The images of a table, or of a split in it, in the order of its rows.

    Args:
        place: The table, or a folder of tables.
        split: The split's name; None opens all rows of a table without splits.
        spec: The table's columns, and where its images are.
        classes: The classes that there may be, in label order; None takes those that occur,
            sorted as Python strings.

    Attributes:
        names: Paths of the images, relative to their folder, with slashes.

    Raises:
        DatasetError: The table is missing, damaged, or without such a split, its columns are not
            clear, or rows are wrong. The message names these by line.
    """

    def __init__(
        self,
        place: Path,
        split: str | None,
        spec: TableDataset,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        found = find_table(place, split)
        table = found.table
        columns = find_columns(table.path, table.columns(), spec, spec.split_column, found.whole)
        if found.whole:
            _check_splits(table.path, split, columns)
        paths = ImagePaths(table.path.parent / expanded(spec.root or "."))
        skips = spec.broken == "skip"
        images = read_images(table, columns, spec, paths, split, classes, skips)
        self.names, self.classes, self.groups = images.names, images.classes, images.groups
        self.labels, self.group_names = images.labels, images.group_names
        self.max_pixels = spec.max_pixels
        self.files = FolderFiles(paths.root, self.names, f"{table.path.name}/{split}")
        if classes is not None:
            self._report_missing_classes(table.path)

    def name(self, index: int) -> str:
        """Returns the path of image `index`, relative to the folder of the images."""
        return self.names[index]

    def _report_missing_classes(self, path: Path) -> None:
        if missing := without_images(self.classes, self.labels):
            log.warning("%s: no image of %s in this split", path, missing)


def _check_splits(path: Path, split: str | None, columns: FoundColumns) -> None:
    """Checks that a table of the whole dataset has splits just when one of them is opened."""
    if split is not None and columns.split is None:
        raise NoSplitError(
            f"{path}: has no column of splits, in which to find '{split}': set"
            " dataset.split_column, or divide the table by dataset.split. Its columns are"
            f" {listed(columns.present, SHOWN)}."
        )
    if split is None and columns.split is not None:
        raise DatasetError(
            f"{path}: has splits of its own, in its column '{columns.split}'; name them in"
            " dataset.splits, without dataset.split."
        )
