"""How a batch is mixed, as a pure function of the seed and the training step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import Labels
from isotune.randomness import Purpose, stream
from isotune.spec.mixing import MIXING_RULES, Mix, MixingSpec


@dataclass(frozen=True)
class Mixer:
    """Mixes the training batches of a run.

    Attributes:
        spec: Which rules there are, and how often a batch is mixed.
        seed: The experiment's seed.
        classes: Number of classes.
        size: (height, width) of the images, in pixels.
        steps: Number of training steps an epoch.
    """

    spec: MixingSpec
    seed: int
    classes: int
    size: tuple[int, int]
    steps: int

    def draw(self, epoch: int, number: int, images: int) -> BatchMix:
        """Draws whether and how a batch is mixed.

        Args:
            epoch: The epoch, from 0.
            number: The batch in the epoch, from 0.
            images: Number of images in the batch.
        """
        rng = stream(self.seed, Purpose.MIXING, epoch * self.steps + number)
        if rng.random() >= self.spec.probability or images == 1:
            return BatchMix(self.classes, None)
        name, alpha = self.spec.choose(rng)
        rule = MIXING_RULES.find(name)
        assert rule is not None, f"the module of {name} is missing"
        return BatchMix(self.classes, rule(alpha).draw(rng, self.size))


@dataclass(frozen=True)
class BatchMix:
    """How one batch is mixed.

    Attributes:
        classes: Number of classes.
        mix: The rule with its numbers; None for a batch that is not mixed.
    """

    classes: int
    mix: Mix | None

    def mix_images(self, images: NDArray[np.uint8], members: Members | None = None) -> None:
        """Mixes images of shape (N, height, width, 3), each with its partner, in place.

        Args:
            images: The images.
            members: Which images they are of a batch; only those of the part, which come first,
                are mixed. None for all of it.
        """
        if self.mix is None:
            return
        if members is not None:
            before = images.copy()
            for place, partner in enumerate(members.partners.tolist()):
                self.mix.apply(images[place], before[partner])
            return
        count = len(images)
        if count % 2:
            # The first one is still as it was: the pairs below come later.
            self.mix.apply(images[count // 2], images[0])
        for place in range(count // 2):
            image, partner = images[place], images[count - 1 - place]
            original = image.copy()
            self.mix.apply(image, partner)
            self.mix.apply(partner, original)

    def members(self, start: int, stop: int, count: int) -> Members:
        """Returns what is needed of a batch of `count` images to mix those of one part."""
        own = np.arange(start, stop)
        if self.mix is None:
            return Members(own, np.arange(len(own)))
        others = partners(count)[start:stop]
        places = np.concatenate([own, np.setdiff1d(others, own)])
        order = np.argsort(places)
        return Members(places, order[np.searchsorted(places, others, sorter=order)])

    def shares(self, labels: Labels, members: Members | None = None) -> NDArray[np.float32]:
        """Returns the share of each class in N mixed images: float32, shape (N, classes).

        Labels of images that may have several are mixed alike, and need not sum to 1.

        Args:
            labels: Labels of the images before.
            members: Which images they are of a batch; None for all of it.
        """
        all_shares = labels if labels.ndim == 2 else np.eye(self.classes, dtype=np.float32)[labels]
        others = partners(len(labels)) if members is None else members.partners
        own = all_shares[: len(others)]
        if self.mix is None:
            return own.astype(np.float32)
        share, rest = np.float32(self.mix.share), np.float32(1 - self.mix.share)
        mixed = own * share + all_shares[others] * rest
        return mixed.astype(np.float32)


@dataclass(frozen=True)
class Members:
    """Images of a batch that are needed to mix those of one part of it.

    Attributes:
        places: Their places in the batch, those of the part first: int64, shape (M,).
        partners: Where the partner of each image of the part is in `places`: int64, shape (N,).
    """

    places: NDArray[np.int64]
    partners: NDArray[np.int64]


def partners(count: int) -> NDArray[np.int64]:
    """Returns the place of each image's partner in a batch of `count` images: int64, shape (N,).

    The batch is mirrored, as in timm, except that the one in the middle of an odd number of images
    is mixed with the first.
    """
    places = np.arange(count)[::-1].copy()
    if count % 2:
        places[count // 2] = 0
    return places
