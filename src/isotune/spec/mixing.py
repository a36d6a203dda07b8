"""How training images are mixed. What each rule does: :mod:`isotune.data.mixing`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from inspect import isabstract
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import model_validator
from typing_extensions import Self

from isotune.spec.base import SpecModel
from isotune.spec.registry import Registry
from isotune.spec.transform_options import Probability
from isotune.spec.values import Positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Mix(Protocol):
    """A rule with its numbers drawn for one batch."""

    @property
    def share(self) -> float:
        """The share of an image itself in the mixed one, in [0, 1]; the rest is its partner's."""

    def apply(self, image: NDArray[np.uint8], partner: NDArray[np.uint8]) -> None:
        """Mixes `partner` into `image`, both of shape (height, width, 3)."""


class MixingRule(ABC):
    """A rule by which the images of a batch are mixed in pairs.

    Each is a subclass with a `name`, by which a field of :class:`MixingSpec` gives its alpha.

    Args:
        alpha: Both parameters of the Beta distribution from which an image's share is drawn.
    """

    name: ClassVar[str]

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    @abstractmethod
    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Mix:
        """Draws the rule's numbers for one batch.

        Args:
            rng: The batch's random stream. Use ``rng.random()`` only: NumPy promises its values
                for every version.
            size: (height, width) of the images, in pixels.
        """


def _is_rule(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, MixingRule) and not isabstract(value)


MIXING_RULES: Registry[type[MixingRule]] = Registry("mixing rule", _is_rule, lambda kind: kind.name)
"""All rules."""


class MixingSpec(SpecModel):
    """Mixes the images of a training batch in pairs, and their labels with them.

    A batch is mixed by one rule, with one number for all its images: each with the one at the
    mirrored place of the batch, the first with the last. They are mixed as pixels, before
    normalization, and rounded, so that every backend sees the same bytes. A batch of one image is
    not mixed, and validation never is. Labels become shares of the classes; the losses mean with
    them what PyTorch's losses mean with class probabilities. `train_accuracy` then is the share of
    images for which the class with the largest share is predicted.

    Attributes:
        mixup: mixup (Zhang et al., 2018): a weighted mean of both images. The weights are drawn
            from Beta(alpha, alpha); this is alpha. null leaves the rule out.
        cutmix: CutMix (Yun et al., 2019): a box of the other image is pasted at the same place. Its
            share of the area is drawn from Beta(alpha, alpha), and what of it lies outside the
            image is cut off; labels count what is left. null leaves the rule out.
        switch: Probability of ``cutmix``, where ``mixup`` is given, too.
        probability: Probability that a batch is mixed.
    """

    mixup: Positive | None = None
    cutmix: Positive | None = None
    switch: Probability = 0.5
    probability: Probability = 1.0

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.mixup is None and self.cutmix is None:
            raise ValueError("should have mixup, cutmix or both, as in {mixup: 0.2}")
        return self

    def choose(self, rng: np.random.Generator) -> tuple[str, float]:
        """Returns the rule of a batch and its alpha; draws a number if there are several."""
        if self.cutmix is None or (self.mixup is not None and rng.random() >= self.switch):
            assert self.mixup is not None, "one of them is given"
            return "mixup", self.mixup
        return "cutmix", self.cutmix
