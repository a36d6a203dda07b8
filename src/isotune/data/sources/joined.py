"""The images of several sources, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isotune.interfaces.dataset import ImageSource

if TYPE_CHECKING:
    from PIL import Image


class Joined(ImageSource):
    """The images of several splits of a dataset, one split after the other.

    Args:
        splits: The splits by name, all with the same classes. If only some of them have groups,
            there are none.
    """

    def __init__(self, splits: Mapping[str, ImageSource]) -> None:
        sources = list(splits.values())
        self._names, self._sources = list(splits), sources
        self._ends = np.cumsum([len(source) for source in sources])
        self.always_readable = all(source.always_readable for source in sources)
        self.cheap = all(source.cheap for source in sources)
        self.classes = sources[0].classes
        self.labels = np.concatenate([source.labels for source in sources])
        self.groups, self.group_names = _groups(sources)

    def load(self, index: int) -> Image.Image:
        """Decodes image `index`."""
        split, place = self._place(index)
        return self._sources[split].load(place)

    def identify(self, index: int) -> str:
        """Returns text by which a person finds image `index`."""
        split, place = self._place(index)
        return self._sources[split].identify(place)

    def name(self, index: int) -> str:
        """Returns the split of image `index` and its name there."""
        split, place = self._place(index)
        return f"{self._names[split]}/{self._sources[split].name(place)}"

    def digests(self) -> NDArray[np.uint8] | None:
        """Returns digests of the images; None if a split has none."""
        digests = [source.digests() for source in self._sources]
        known = [each for each in digests if each is not None]
        return np.concatenate(known) if len(known) == len(digests) else None

    def unchanged(self) -> bool:
        """Whether the images are still those of the digests."""
        return all(source.unchanged() for source in self._sources)

    def fingerprints(self) -> list[str] | None:
        """Returns the fingerprints of the splits, or None if one has none."""
        fingerprints = [source.fingerprints() for source in self._sources]
        known = [each for each in fingerprints if each is not None]
        if len(known) < len(fingerprints):
            return None
        return [text for each in known for text in each]

    def _place(self, index: int) -> tuple[int, int]:
        split = int(np.searchsorted(self._ends, index, side="right"))
        return split, index - int(self._ends[split - 1] if split else 0)


def _groups(
    sources: Sequence[ImageSource],
) -> tuple[NDArray[np.int32] | None, tuple[str, ...] | None]:
    """Returns the numbers of the images' groups and the groups' names, the same in all splits."""
    numbers: list[NDArray[np.int32]] = []
    names: dict[str, int] = {}
    for source in sources:
        if source.groups is None:
            return None, None
        if source.group_names is None:
            numbers.append(source.groups)
            continue
        places = [names.setdefault(name, len(names)) for name in source.group_names]
        numbers.append(np.array(places, np.int32)[source.groups])
    return np.concatenate(numbers), tuple(names) or None
