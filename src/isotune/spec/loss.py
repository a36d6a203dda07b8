"""The loss of a spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from isotune.spec.base import SpecModel
from isotune.spec.values import Positive

LossName = Literal["cross_entropy", "binary_cross_entropy"]


class LossSpec(SpecModel):
    """PyTorch's ``CrossEntropyLoss`` or ``BCEWithLogitsLoss``.

    Attributes:
        name: ``cross_entropy``: probabilities are a softmax; ``binary_cross_entropy``:
            probabilities are sigmoids, each logit says whether the image is of its class.
        label_smoothing: Share of the target that is spread evenly over all classes.
        class_weights: ``none``; ``balanced``: images / (classes * images of the class), as in
            scikit-learn; or a weight for every class by name.
    """

    name: LossName = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"
