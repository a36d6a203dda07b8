"""What is wrong with images, and what would deal with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from isotune.data.integrity.looks import Looks
from isotune.interfaces.dataset import ImageSource

Severity = Literal["error", "warning"]
"""Whether a finding would stop a run, or lets it train on what it should perhaps not."""

Kind = Literal[
    "split",
    "unreadable",
    "unreadable-class",
    "similar-classes",
    "missing-class",
    "single-class",
    "few-images",
    "imbalance",
    "duplicates-across-splits",
    "duplicates-across-classes",
    "duplicates-across-groups",
    "duplicates",
    "near-duplicates-across-splits",
    "near-duplicates-across-classes",
    "near-duplicates-across-groups",
    "near-duplicates",
    "one-colored",
    "dark",
    "bright",
    "tiny",
    "huge",
    "elongated",
]
"""What may be found, in the order in which it is shown within a severity."""


@dataclass(frozen=True)
class ImageReference:
    """An image.

    Attributes:
        split: Name of its split.
        index: Its position in the split.
        name: Its name in the split, the same wherever the dataset lies.
        identity: By which a person finds it, usually its path.
        classes: Names of its classes.
    """

    split: str
    index: int
    name: str
    identity: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Offender:
    """What a finding is about.

    Attributes:
        detail: What is wrong in this case, such as ``12 x 9 pixels``, or an empty string.
        images: The image, or the images that are the same, if it is about images.
        classes: Class names, if it is about classes.
    """

    detail: str = ""
    images: tuple[ImageReference, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: What it is.
        severity: Whether it would stop a run.
        title: What it is about, for a person: ``images that cannot be read``.
        advice: What would deal with it.
        count: Number of images or classes concerned.
        offenders: All cases.
    """

    kind: Kind
    severity: Severity
    title: str
    advice: str
    count: int
    offenders: tuple[Offender, ...]


@dataclass(frozen=True)
class ExaminedSplit:
    """A split and what its images look like.

    Attributes:
        name: The split's name.
        source: Its images.
        looks: What they look like.
    """

    name: str
    source: ImageSource
    looks: Looks

    def reference(self, index: int) -> ImageReference:
        """Returns image `index` as a finding names it."""
        source = self.source
        name, identity = source.name(index), source.identify(index)
        return ImageReference(self.name, index, name, identity, source.label_names(index))

    def offenders(self, indices: Iterable[int], details: Iterable[str] = ()) -> list[Offender]:
        """Returns each image at `indices`, with its own detail if there are any."""
        listed = list(indices)
        texts = list(details) or [""] * len(listed)
        return [
            Offender(detail, (self.reference(index),))
            for index, detail in zip(listed, texts, strict=True)
        ]


def image_finding(
    kind: Kind, offenders: Sequence[Offender], title: str, advice: str, severity: Severity
) -> list[Finding]:
    """Returns a finding about images, or none without offenders.

    Args:
        kind: What it is.
        offenders: The cases.
        title: What they are: ``images that cannot be read``.
        advice: What would deal with it.
        severity: Whether it would stop a run.
    """
    count = len({(image.split, image.index) for each in offenders for image in each.images})
    return [Finding(kind, severity, title, advice, count, tuple(offenders))] if count else []
