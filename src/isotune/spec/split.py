"""How a spec divides images that have no splits into training, validation and test images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal, Union

from pydantic import Field, model_validator
from typing_extensions import assert_never

from isotune.errors import SpecError
from isotune.spec.base import Meaning, SpecModel

Size = Union[int, float]
"""Number of images of each class in a split: a count (int) or a fraction (float) of the class."""

DivideBy = Literal["label", "group"]
"""What is divided: each class, in which only identical images stay together; or whole groups."""

_ClassSize = Annotated[
    Union[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0, lt=1)]],
    Meaning("a number of images of each class, such as 100, or a fraction of them, such as 0.2"),
]


class SplitSpec(SpecModel):
    """Divides images that have no splits into ``train``, ``val`` and, perhaps, ``test``.

    The sizes are all counts or all fractions of the different images of each class; an identical
    copy goes where the other one goes. The division depends on the images' contents, their classes
    or groups and the seed, not on file names or their order.

    Attributes:
        val: Size of the split ``val``.
        test: Size of the split ``test``; null makes none.
        train: Size of the split ``train``; null takes the rest.
        by: ``label``: each class is divided, in which no image is in two splits; ``group``:
            neither is a group, and classes and sizes are met as nearly as groups allow.
        seed: Selects the division.
    """

    val: _ClassSize
    test: _ClassSize | None = None
    train: _ClassSize | None = None
    by: DivideBy = "label"
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0

    @model_validator(mode="after")
    def _sizes_fit(self) -> SplitSpec:
        given = {name: size for name, size in self.sizes.items() if size is not None}
        try:
            check_sizes(given)
        except SpecError as error:
            raise ValueError(str(error).rstrip(".")) from None
        if self.train is None and fraction_of(given) == 1:
            shown = ", ".join(f"{name} {size}" for name, size in given.items())
            raise ValueError(f"{shown} leave no image for train")
        return self

    @property
    def sizes(self) -> dict[str, Size | None]:
        """Sizes by split, in the order of ``isotune split``; None stands for the rest."""
        sizes: dict[str, Size | None] = {"train": self.train, "val": self.val}
        return sizes if self.test is None else {**sizes, "test": self.test}

    @property
    def grouped(self) -> bool:
        """Whether groups stay together."""
        return keeps_groups(self.by)


def keeps_groups(by: DivideBy) -> bool:
    """Whether groups stay together where images are divided by `by`."""
    if by == "group":
        return True
    if by == "label":
        return False
    assert_never(by)


def check_sizes(sizes: Mapping[str, Size]) -> None:
    """Refuses invalid sizes of splits.

    Raises:
        SpecError: there is no size, one is not positive, counts and fractions are mixed, or the
            fractions sum to more than 1.
    """
    shown = ", ".join(f"{split} {size}" for split, size in sizes.items())
    if not sizes:
        raise SpecError("a split needs a size: train 1000 images a class, or a fraction of 0.8.")
    if any(not 0 < size < math.inf for size in sizes.values()):
        raise SpecError(f"sizes of splits should be above 0, not {shown}.")
    if len({isinstance(size, float) for size in sizes.values()}) > 1:
        raise SpecError(f"sizes of splits should all be counts or all be fractions, not {shown}.")
    if fraction_of(sizes) > 1:
        raise SpecError(f"fractions of splits should sum to at most 1, not {shown}.")


def fraction_of(sizes: Mapping[str, Size]) -> Fraction:
    """Returns the sum of the sizes that are fractions."""
    fractions = (exact(size) for size in sizes.values() if isinstance(size, float))
    return sum(fractions, Fraction(0))


def exact(size: Size) -> Fraction:
    """Returns a size as it is written: exactly 0.1, not the double nearest to it."""
    return Fraction(repr(size))
