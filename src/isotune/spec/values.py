"""Types of values that several parts of a spec take."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from isotune.spec.base import AsTuple, Meaning, SpecModel

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Url = Annotated[str, Field(pattern=r"^https?://"), Meaning("an http:// or https:// address")]
Digest = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8,64}$"), Meaning("8 to 64 digits from 0 to f in quotes")
]


def _check_name(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    # Pydantic refuses what os.fsdecode makes of bytes that are not UTF-8, as GBK's.
    try:
        text = os.fsencode(value).decode(errors="replace") if isinstance(value, str) else value
    except UnicodeEncodeError:
        text = value
    handler(text)
    return value


AsFileName = WrapValidator(_check_name)
"""Annotation: the text is the path or name of a file or folder, in any encoding."""

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""Number format in which a model computes."""

Reduction = Literal["exact", "fast"]
"""How the gradients of a batch's shards are added."""

Sampler = Literal["shuffled", "balanced"]
"""How an epoch's training images are drawn."""


class NormalizationSpec(SpecModel):
    """Normalization of images, by channel: (value - mean) / std, with values from 0 to 1.

    Attributes:
        mean: Mean of the red, green and blue channel.
        std: Standard deviation of each.
    """

    mean: Annotated[tuple[Finite, Finite, Finite], AsTuple]
    std: Annotated[tuple[Positive, Positive, Positive], AsTuple]
