"""Batches of decoded and augmented images, independent of the number of threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.pixels import PixelCache
from isotune.data.decoders.pool import shared_processes
from isotune.data.integrity.broken import BrokenImageError, Skip
from isotune.data.integrity.substitutes import refilled, substitute
from isotune.data.mixing.batch import BatchMix, Mixer
from isotune.data.pending import Chosen, Pending, PendingImage
from isotune.data.reader import ImageReader
from isotune.data.samplers import repeats, sampled
from isotune.data.workers import worker_count
from isotune.errors import SpecError
from isotune.interfaces.dataset import Batch, ImageSource, Labels
from isotune.interfaces.division import UNDIVIDED, Division, Part
from isotune.spec.mixing import MixingSpec
from isotune.spec.transforms import TransformSpec, output_size
from isotune.spec.values import Sampler

AHEAD = 2
"""Number of batches prepared in advance."""


class Batches:
    """The batches of a source, epoch by epoch.

    Their content is a pure function of the seed, the epoch and each image's index in `source`; an
    image that occurs several times in an epoch is augmented anew each time.
    If broken images were skipped before, the index counts the other images only, so a run that
    skips an image equals a run without its file. If they are skipped when they are met, the index
    counts them, too: none shifts the others, whenever it is found. In the order of a sampler,
    another image stands for a broken one (:mod:`isotune.data.integrity.substitutes`), so that the
    size of a batch stays the same; in the source's own order, the images after it move up. In a
    fold, the index is the one among the images of all folds, so that an image is the same in each.

    Args:
        source: the images.
        pipeline: transforms of each image; they must end in one size, except for batches of one.
        batch_size: number of images per batch; the last batch may be smaller.
        seed: the experiment's seed.
        workers: number of decoding threads; None uses the available CPUs, up to 16. Where there are
            many, and many images, each has a process at its side (:mod:`isotune.data.decoders`).
        sampler: which images an epoch has, in an order of its own; None takes each image once, in
            the source's order.
        drop_last: whether to drop a smaller last batch.
        mixing: how the images of a batch are mixed, in the order of a sampler; None mixes none.
        store: cache of images by that index, as they are before the first random transform. Batches
            of the same source whose pipelines begin alike may share it.
        skip: takes note of broken images, which are then skipped; None lets them raise errors.

    Raises:
        SpecError: the images would have different sizes.
    """

    def __init__(
        self,
        source: ImageSource,
        pipeline: Sequence[TransformSpec],
        batch_size: int,
        *,
        seed: int,
        workers: int | None = None,
        sampler: Sampler | None,
        drop_last: bool = False,
        mixing: MixingSpec | None = None,
        store: PixelCache | None = None,
        skip: Skip | None = None,
    ) -> None:
        size = output_size(tuple(pipeline))
        if size is None and batch_size > 1:
            raise SpecError("the transforms must end in images of one size, as center_crop does.")
        self._source = source
        self._workers = worker_count(workers)
        processes = shared_processes(self._workers, len(source))
        self._reader = ImageReader(source, tuple(pipeline), seed, store, processes)
        self._image_size = size
        self._batch_size = batch_size
        self._seed = seed
        self._sampler = sampler
        self._skip = skip
        self._broken = set[int]()
        self._left_out: NDArray[np.int64] = np.zeros(0, np.int64)
        whole, rest = divmod(len(source), batch_size)
        self._count = whole + bool(rest and not drop_last)
        self._size = min(self._count * batch_size, len(source))
        self._mixer: Mixer | None = None
        if mixing is not None:
            assert size and sampler, "images of one size, none of which is left out"
            self._mixer = Mixer(mixing, seed, len(source.classes), size, self._count)

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""
        return self._count

    @property
    def size(self) -> int:
        """The number of images in an epoch."""
        return self._size

    @property
    def batch_size(self) -> int:
        """The number of images in a batch; the last one may have fewer."""
        return self._batch_size

    @property
    def sizes(self) -> list[int]:
        """The number of images of each batch."""
        starts = range(0, self._size, self._batch_size)
        return [min(self._batch_size, self._size - start) for start in starts]

    @property
    def random(self) -> bool:
        """Whether an image differs from epoch to epoch."""
        return self._reader.random

    @property
    def source(self) -> ImageSource:
        """All the images, in their own order."""
        return self._source

    @property
    def pipeline(self) -> tuple[TransformSpec, ...]:
        """The transforms of each image."""
        return self._reader.pipeline

    def regrouped(self, batch_size: int) -> Batches:
        """Returns the same images in the same order, in batches of another size."""
        other = copy(self)
        other._batch_size, other._count = batch_size, -(-self._size // batch_size)
        return other

    def unshuffled(self) -> Batches:
        """Returns all images of the source in its order, without dropping or mixing any."""
        other = copy(self)
        other._sampler, other._mixer, other._size = None, None, len(self._source)
        return other.regrouped(self._batch_size)

    def of_all_folds(self) -> Batches:
        """Returns all images of all folds in their order; the source is a fold of them."""
        assert self._source.origin is not None, "the source is a fold"
        other = copy(self)
        other._source = self._source.origin.source
        other._reader = replace(self._reader, source=other._source)
        return other.unshuffled()

    @property
    def broken(self) -> NDArray[np.int64] | None:
        """Indices of the broken images that were met and left out so far; None if that may not be.

        It may be where they are skipped in the source's own order.
        """
        may_be = self._skip is not None and self._sampler is None
        return np.array(sorted(self._broken), np.int64) if may_be else None

    def without(self, indices: NDArray[np.int64]) -> Batches:
        """Returns batches of the source's images in its order, all except some."""
        other = self.unshuffled()
        other._left_out, other._size = indices, len(self._source) - len(indices)
        return other.regrouped(self._batch_size)

    def epoch(
        self,
        epoch: int,
        start_batch: int = 0,
        *,
        order: int | None = None,
        division: Division = UNDIVIDED,
        every: int = 1,
    ) -> Iterator[Batch]:
        """Yields the batches of an epoch.

        Threads prepare :data:`AHEAD` batches in advance while the iterator is in use. They end
        when it is closed or deleted.

        Args:
            epoch: the epoch, from 0.
            start_batch: the first batch, from 0; earlier ones are not decoded.
            order: another epoch, whose order is used instead. Then an image that occurs several
                times is augmented alike each time.
            division: yields, instead of a batch, one after the other the parts of it that this
                process computes, which have the same images and labels as there. Nothing else is
                decoded but the partners of images that are mixed. A placeholder stands for an
                empty part.
            every: yields one of so many batches, the first of them first. Where broken images are
                left out, none moves up from a batch to another then.

        Yields:
            Batches of uint8 images, shape (N, height, width, 3), and their labels; with mixing,
            the shares of their classes, float32 of shape (N, classes).

        Raises:
            DatasetError: an image cannot be read or is too small for a transform, or images are
                skipped and none can stand for one.
        """
        batches = self._epoch(epoch, order, start_batch, every, division)
        if self._skip is None or self._sampler is not None or every > 1:
            return batches
        return refilled(batches, self._batch_size)

    def _epoch(
        self,
        epoch: int,
        order: int | None,
        start_batch: int,
        every: int,
        division: Division,
    ) -> Iterator[Batch]:
        ordered = self.order(epoch if order is None else order)
        earlier = np.zeros_like(ordered) if order is not None else repeats(ordered)
        chosen = Chosen(epoch, ordered, earlier)
        stop = threading.Event()
        executor = ThreadPoolExecutor(self._workers, "isotune-data")
        starts = range(start_batch * self._batch_size, self.size, every * self._batch_size)
        waiting = (range(start, min(start + self._batch_size, self.size)) for start in starts)
        pending: deque[tuple[range, Pending | PendingImage]] = deque()
        try:
            while True:
                while len(pending) <= AHEAD and (places := next(waiting, None)) is not None:
                    own = None if division.whole else division.share(len(places))
                    pending.append((places, self._submit(executor, stop, chosen, places, own)))
                if not pending:
                    return
                places, prepared = pending.popleft()
                if division.whole:
                    yield prepared.result()
                else:
                    parts = division.divide(len(places))
                    yield from self._parts(prepared.result(), parts, chosen, places)
        finally:
            stop.set()
            executor.shutdown(cancel_futures=True)

    def _parts(
        self, own: Batch, parts: Sequence[Part], chosen: Chosen, batch: range
    ) -> Iterator[Batch]:
        """Yields this process's parts of a batch, of which it has prepared its share."""
        for part in parts:
            if len(part):
                rows = slice(part.start - parts[0].start, part.stop - parts[0].start)
                yield Batch(own.images[rows], own.labels[rows])
            else:
                yield self._placeholder(chosen, batch)

    def labels(self, epoch: int) -> Iterator[Labels]:
        """Yields the labels of each batch of an epoch (from 0), as :meth:`epoch` does."""
        labels = self._source.labels[self.order(epoch)[: self.size]]
        for start in range(0, self.size, self._batch_size):
            part = labels[start : start + self._batch_size]
            mix = self._mix(epoch, range(start, start + len(part)))
            yield part if mix is None else mix.shares(part)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Returns the indices of the source's images in the order of an epoch (from 0)."""
        if self._sampler is None:
            return np.delete(np.arange(len(self._source)), self._left_out)
        return sampled(self._sampler, self._seed, epoch, self._source.labels)

    def _submit(
        self,
        executor: ThreadPoolExecutor,
        stop: threading.Event,
        chosen: Chosen,
        batch: range,
        own: range | None,
    ) -> Pending | PendingImage:
        """Lets threads prepare a batch, or the places in it that are this process's own."""
        mix, members = self._mix(chosen.epoch, batch), None
        within = range(len(batch)) if own is None else own
        places = np.arange(within.start, within.stop)
        if mix is not None and own is not None:
            members = mix.members(own.start, own.stop, len(batch))
            places = members.places
        places = places + batch.start
        labels, count = self._source.labels[chosen.order[places]], len(places)
        if self._image_size is None:
            future = executor.submit(self.image, *chosen.at(int(places[0])))
            return PendingImage(future, labels)
        images = np.empty((count, *self._image_size, 3), dtype=np.uint8)
        there = np.ones(count, np.bool_)
        threads = min(self._workers, count)
        others = threading.Semaphore(max(threads - 1, 0))

        def fill(first: int, step: int) -> None:
            for row in range(first, count, step):
                if stop.is_set():
                    return
                found = self._found(chosen, int(places[row]))
                if found is None:
                    there[row] = False
                else:
                    labels[row], images[row] = self._source.labels[found[0]], found[1]
            if mix is not None and not others.acquire(blocking=False):
                mix.mix_images(images, members)  # the last thread to arrive has all of them

        futures = [executor.submit(fill, first, threads) for first in range(threads)]
        return Pending(Batch(images, labels), there, futures, mix, members)

    def _mix(self, epoch: int, batch: range) -> BatchMix | None:
        """Returns whether and how the images of a batch are mixed, given their places."""
        if self._mixer is None:
            return None
        return self._mixer.draw(epoch, batch.start // self._batch_size, len(batch))

    def _placeholder(self, chosen: Chosen, batch: range) -> Batch:
        """Returns a black image that stands for an empty part of a batch."""
        assert self._image_size is not None, "what is divided has images of one size"
        labels = self._source.labels[chosen.order[batch.start : batch.start + 1]]
        mix = self._mix(chosen.epoch, range(batch.start, batch.start + 1))
        images = np.zeros((1, *self._image_size, 3), np.uint8)
        return Batch(images, labels if mix is None else mix.shares(labels), placeholder=True)

    def _found(self, chosen: Chosen, place: int) -> tuple[int, NDArray[np.uint8]] | None:
        """Returns the image at a place, or what stands for a broken one, and its index.

        None means that the place stays empty.
        """
        try:
            return int(chosen.order[place]), self.image(*chosen.at(place))
        except BrokenImageError as error:
            if self._skip is None:
                raise
            self._skip(error)
            if self._sampler is None:
                self._broken.add(error.index)
                return None
            read = partial(self.image, chosen.epoch)
            return substitute(read, chosen.order, chosen.earlier, place, self._source.labels, error)

    def image(self, epoch: int, index: int, earlier: int = 0) -> NDArray[np.uint8]:
        """Returns an image in an epoch; arguments and errors are those of the reader's."""
        return self._reader.image(epoch, index, earlier)
