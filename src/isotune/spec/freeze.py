"""What a spec freezes, and when it is released."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from isotune.spec.base import Meaning, SpecModel


def _as_number(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def _as_list(patterns: Any) -> Any:
    return [patterns] if isinstance(patterns, str) else patterns


Epoch = Annotated[
    int,
    Field(ge=2),
    BeforeValidator(_as_number),
    Meaning("the number of an epoch, 2 at least"),
]
"""An epoch's number as the key of a mapping, which is text in JSON and YAML."""

Patterns = Annotated[list[str], Field(min_length=1), BeforeValidator(_as_list)]


class FreezeSpec(SpecModel):
    """Which parameters do not train.

    Attributes:
        parameters: ``none``, ``backbone`` (everything except the head), or a list of stages
            (``stem``, ``stage1``) and of patterns over canonical parameter names: ``layer1``
            (everything under it), ``*.bias``.
        batch_norm: ``eval``: frozen BatchNorm uses its stored statistics and keeps them;
            ``train``: it keeps updating them, as classic tutorials do.
        unfreeze: By the number of an epoch, counted from 1, what trains from then on: a stage or
            pattern, a list of them, or ``all``.
    """

    parameters: Literal["none", "backbone"] | Annotated[list[str], Field(min_length=1)] = "none"
    batch_norm: Literal["eval", "train"] = "eval"
    unfreeze: dict[Epoch, Literal["all"] | Patterns] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _nothing_to_unfreeze(self) -> FreezeSpec:
        if self.unfreeze and self.parameters == "none":
            raise ValueError("unfreeze needs something frozen, but parameters is 'none'")
        return self
