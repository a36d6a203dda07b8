"""Decides which images of an experiment are cached, and in how much memory and disk space."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from isotune.data.caches.pixels import PixelCache, PixelStore
from isotune.data.caches.shared_pixels import SharedPixelStore
from isotune.interfaces.dataset import ImageSource
from isotune.spec.experiment import ExperimentSpec
from isotune.spec.transforms import output_size

_MIB = 1 << 20


@dataclass(frozen=True)
class PixelCaches:
    """The caches of a run's images; None where images are not cached."""

    train: PixelCache | None = None
    val: PixelCache | None = None

    def close(self) -> None:
        """Releases the memory and disk space of both."""
        for store in (self.train, self.val):
            if store is not None:
                store.close()


def open_stores(
    spec: ExperimentSpec, train: ImageSource, val: ImageSource, processes: int = 1
) -> PixelCaches:
    """Returns caches that together stay within the limits of a resolved spec.

    Images that cost nothing to load or are used only once are not cached. Validation images come
    first, up to half the space: usually none of their transforms is random, so they are small and
    save more work. Each of several processes has its share of the space: of its own images in
    validation, which are always the same. Training images, which each epoch divides anew, are on
    disk for all of them.
    """
    if spec.cache.images == "off":
        return PixelCaches()
    room = [size * _MIB // processes for size in (spec.cache.memory, spec.cache.disk)]
    val_store: PixelCache | None = None
    train_store: PixelCache | None = None
    if not val.cheap and _evaluations(spec) > 1:
        missing, sizes = _pixels(spec, val), []
        for kind, bound in enumerate(room):
            sizes.append(min(missing, bound // 2))
            room[kind] -= sizes[kind]
            missing -= sizes[kind]
        val_store = PixelStore(_numbers(val), *sizes)
    if not train.cheap and (spec.epochs > 1 or spec.sampler == "balanced"):
        if processes > 1 and spec.cache.disk:
            train_store = SharedPixelStore(_numbers(train), sum(room))
        else:
            train_store = PixelStore(_numbers(train), *room)
    return PixelCaches(train_store, val_store)


def _numbers(source: ImageSource) -> int:
    """Returns how many numbers the images may have by which they are cached."""
    return len(source if source.origin is None else source.origin.source)


def _evaluations(spec: ExperimentSpec) -> int:
    return sum(spec.evaluation.due(epoch, spec.epochs) for epoch in range(1, spec.epochs + 1))


def _pixels(spec: ExperimentSpec, source: ImageSource) -> int:
    """Returns the size in bytes of all images after the validation transforms."""
    assert spec.transforms.val is not None, "resolve() comes first"
    size = output_size(spec.transforms.val)
    assert size is not None, "a pipeline ends in one size"
    return len(source) * 3 * prod(size)
