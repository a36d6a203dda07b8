"""The head of a spec."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field

from isotune.spec.base import AsTuple, Shorthand, SpecModel

Outputs = Literal["per_class", "single"]
Activation = Literal["relu", "gelu", "silu", "tanh"]
"""PyTorch's functions of these names; ``gelu`` is exact, not the tanh approximation."""


class LinearHeadSpec(SpecModel):
    """A new linear layer instead of the model's last one.

    Attributes:
        outputs: ``per_class``: a logit for each class; ``single``: one logit for the second of
            two classes, which needs the loss ``binary_cross_entropy``.
    """

    name: Literal["linear"] = "linear"
    outputs: Outputs = "per_class"


class MLPHeadSpec(SpecModel):
    """A multilayer perceptron instead of the model's whole classifier.

    Attributes:
        hidden: Widths of the hidden layers.
        activation: Activation after each of them.
        dropout: Share of the elements after each of them that training drops.
        outputs: As for the linear head.
    """

    name: Literal["mlp"]
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), AsTuple] = (
        256,
    )
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    outputs: Outputs = "per_class"


HeadSpec = Union[LinearHeadSpec, MLPHeadSpec]
AnyHead = Annotated[HeadSpec, Field(discriminator="name"), Shorthand("name")]
