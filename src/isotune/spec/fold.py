"""Which fold of a cross-validation a run is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from isotune.spec.base import SpecModel
from isotune.spec.split import DivideBy, keeps_groups


class FoldSpec(SpecModel):
    """One fold of a cross-validation: which images it validates on. It trains on all others.

    The images are those of the splits to train and to validate on together, or all images of a
    dataset without splits. Any other split stays out, and so do the test images of
    ``dataset.split``. Identical images are never in two folds.

    Attributes:
        number: The fold to validate on, from 1.
        folds: Number of folds.
        by: What folds have in common and what keeps them apart: with ``label``, every fold has its
            share of each class; with ``group``, in addition no group, such as a patient or a
            camera, is in two folds.
        seed: Selects the random assignment of images to folds.
    """

    number: Annotated[int, Field(ge=1)]
    folds: Annotated[int, Field(ge=2)]
    by: DivideBy = "label"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @model_validator(mode="after")
    def _is_one_of_them(self) -> FoldSpec:
        if self.number > self.folds:
            raise ValueError(f"number should be 1 to {self.folds}, the number of folds")
        return self

    @property
    def grouped(self) -> bool:
        """Whether groups stay together."""
        return keeps_groups(self.by)
