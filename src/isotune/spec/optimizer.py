"""The optimizer of a spec."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, Union

from pydantic import Field, model_validator
from typing_extensions import Self

from isotune.spec.base import AsTuple, SpecModel
from isotune.spec.values import NotNegative, Positive

Fraction = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Fraction, Fraction], AsTuple]
NoDecay = Literal["none", "norms_and_biases"]
StageDecay = Annotated[float, Field(gt=0, le=1)]
"""Factor of the learning rate from each stage, or block, to the one before it."""


class _Optimizer(SpecModel):
    """What an optimizer keeps for each parameter from one update to the next: its slots.

    Slots have PyTorch's names. In a checkpoint they are float32 arrays called ``PARAMETER/SLOT``.

    Attributes:
        counts_updates: Whether a scalar slot ``step`` holds the number of updates so far.
    """

    counts_updates: ClassVar[bool] = False

    @model_validator(mode="after")
    def _scales_rates_once(self) -> Self:
        if all(getattr(self, f"lr_decay_per_{part}") != 1 for part in ("stage", "block")):
            raise ValueError(
                "lr_decay_per_stage and lr_decay_per_block are two scales of the same rates; keep"
                " one of them"
            )
        return self

    @property
    def has_momentum(self) -> bool:
        """Whether it keeps a momentum, or a running mean of gradients, which a schedule may set."""
        return True

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the slots that have the parameter's shape and start from zero."""

    def slot_shapes(self, parameter: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Returns the shape of every slot by name, for a parameter of that shape."""
        shapes = dict.fromkeys(self.slots, parameter)
        return {**shapes, "step": ()} if self.counts_updates else shapes


class SGDSpec(_Optimizer):
    """``torch.optim.SGD``: the decay is added to the gradient, the momentum is undampened.

    Attributes:
        lr: Learning rate.
        momentum: Factor of the running sum of gradients.
        nesterov: Whether to use Nesterov's momentum.
        weight_decay: L2 penalty.
        no_decay: Which parameters have no weight decay. ``none``: all have it;
            ``norms_and_biases``: those with at most one dimension do not, which are all biases and
            the weights of normalization layers (timm's ``param_groups_weight_decay``).
        lr_decay_per_stage: Factor of the learning rate from each stage to the one before it: the
            head has the full rate, the last stage this share, the one before it its square. 1 is
            the same rate for all.
        lr_decay_per_block: The same for the blocks of a transformer (ViT, Swin, MaxViT), which are
            more than its stages, except for a ViT; BEiT and timm call it layer decay. The patch
            embedding is before the first block, and the head after the last one.
    """

    name: Literal["sgd"] = "sgd"
    lr: Positive = 0.01
    momentum: Fraction = 0.0
    nesterov: bool = False
    weight_decay: NotNegative = 0.0
    no_decay: NoDecay = "none"
    lr_decay_per_stage: StageDecay = 1.0
    lr_decay_per_block: StageDecay = 1.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> SGDSpec:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self

    @property
    def has_momentum(self) -> bool:
        """Whether the momentum is above zero."""
        return self.momentum > 0

    @property
    def slots(self) -> tuple[str, ...]:
        """The momentum, unless it is zero."""
        return ("momentum_buffer",) if self.has_momentum else ()


class _AdamLike(_Optimizer):
    counts_updates: ClassVar[bool] = True

    @property
    def slots(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")


class AdamSpec(_AdamLike):
    """``torch.optim.Adam``: the decay is added to the gradient, eps to the corrected root.

    Attributes:
        lr: Learning rate.
        betas: Decay of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: L2 penalty.
        no_decay: As for ``sgd``.
        lr_decay_per_stage: As for ``sgd``.
        lr_decay_per_block: As for ``sgd``.
    """

    name: Literal["adam"]
    lr: Positive = 0.001
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.0
    no_decay: NoDecay = "none"
    lr_decay_per_stage: StageDecay = 1.0
    lr_decay_per_block: StageDecay = 1.0


class AdamWSpec(_AdamLike):
    """``torch.optim.AdamW``: as Adam, but the decay multiplies the parameter by 1 - lr * decay.

    Attributes:
        lr: Learning rate.
        betas: Decay of the running means of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: Decoupled weight decay.
        no_decay: As for ``sgd``.
        lr_decay_per_stage: As for ``sgd``.
        lr_decay_per_block: As for ``sgd``.
    """

    name: Literal["adamw"]
    lr: Positive = 0.001
    betas: Betas = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NotNegative = 0.01
    no_decay: NoDecay = "none"
    lr_decay_per_stage: StageDecay = 1.0
    lr_decay_per_block: StageDecay = 1.0


OptimizerSpec = Annotated[Union[SGDSpec, AdamSpec, AdamWSpec], Field(discriminator="name")]
