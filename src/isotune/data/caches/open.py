"""Decides which images of an experiment are worth being kept, and in how much room."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isotune.data.caches.pixels import PixelStore
from isotune.interfaces.dataset import ImageSource
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.transforms import output_size

_MIB = 1 << 20


@dataclass(frozen=True)
class PixelCaches:
    """The stores of a run's images; None where nothing is kept."""

    train: PixelStore | None = None
    val: PixelStore | None = None

    def close(self) -> None:
        """Gives back the room of both."""
        for store in (self.train, self.val):
            if store is not None:
                store.close()


def open_stores(spec: ExperimentSpec, train: ImageSource, val: ImageSource) -> PixelCaches:
    """Returns stores within the bounds of a resolved spec, both together.

    Nothing is kept of images that cost nothing to load, or are asked for once only.
    Validation images come first, for up to half the room: they are small, as most often
    nothing of their transforms is random, and save more work.
    """
    if spec.cache.images == "off":
        return PixelCaches()
    room = [spec.cache.memory * _MIB, spec.cache.disk * _MIB]
    kept_val = kept_train = None
    if not val.cheap and _evaluations(spec) > 1:
        missing, shares = _pixels(spec, val), []
        for kind, bound in enumerate(room):
            shares.append(min(missing, bound // 2))
            room[kind] -= shares[kind]
            missing -= shares[kind]
        kept_val = PixelStore(len(val), *shares)
    if not train.cheap and spec.epochs > 1:
        kept_train = PixelStore(len(train), *room)
    return PixelCaches(kept_train, kept_val)


def _evaluations(spec: ExperimentSpec) -> int:
    return sum(spec.evaluation.due(epoch, spec.epochs) for epoch in range(1, spec.epochs + 1))


def _pixels(spec: ExperimentSpec, source: ImageSource) -> int:
    """Returns the bytes of all images as they are evaluated."""
    assert spec.transforms.val is not None, "resolve() comes first"
    size = output_size(spec.transforms.val)
    assert size is not None, "a pipeline ends in one size"
    return len(source) * 3 * prod(size)
