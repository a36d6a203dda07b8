"""Where the labels of a dataset are: which columns of a table hold what, and how many there are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from isotune.spec.base import Meaning, SpecModel

Column = Annotated[str, Field(min_length=1)]
Columns = Annotated[
    tuple[Column, ...],
    Field(min_length=2),
    Meaning("a list of names of columns, two at least"),
]


class TargetsSpec(SpecModel):
    """How many labels an image has; a format names it before its other base.

    Attributes:
        targets: ``single_label``: each image has one label; ``multi_label``: any number of them,
            also none.
        separator: What stands between the labels of an image, where there may be several.
    """

    targets: Literal["single_label", "multi_label"] = "single_label"
    separator: Annotated[str, Field(min_length=1)] = ";"

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.targets == "multi_label"


class ColumnsSpec(TargetsSpec):
    """The columns of a dataset's table.

    A column that is not named is found by its usual names, if exactly one column has one of them;
    an image or a label is also in the only column that is left.

    Attributes:
        image_column: Name of the column of images; null finds it (``image``, ``path``,
            ``file_name`` and the like).
        label_column: Name of the column of labels; null finds it (``label``, ``class``,
            ``category`` and the like).
        label_columns: Names of columns, one for each class, that hold 1 for images of the class
            and 0 for others; instead of `label_column`.
        group_column: Name of the column of groups, such as patients or cameras, which a split by
            group does not divide; null takes a column ``group``, if there is one.
    """

    image_column: Column | None = None
    label_column: Column | None = None
    label_columns: Columns | None = None
    group_column: Column | None = None

    @model_validator(mode="after")
    def _one_kind_of_labels(self) -> ColumnsSpec:
        if self.label_column is not None and self.label_columns is not None:
            raise ValueError("has both label_column and label_columns, but labels are in one kind")
        return self
