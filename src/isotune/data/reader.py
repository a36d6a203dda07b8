"""Reads and transforms images of a source, as a function of seed, epoch and index."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from isotune.data.caches.pixels import PixelCache
from isotune.data.decode import reason
from isotune.data.decoders.pool import DecodingProcesses
from isotune.data.decoders.wire import Job
from isotune.data.integrity.broken import broken
from isotune.data.sources.encoded import EncodedSource
from isotune.data.transforms.pipeline import fixed_part, transform
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource
from isotune.randomness import Purpose, stream
from isotune.spec.transforms import TransformSpec

Transforms = tuple[TransformSpec, ...]


@dataclass(frozen=True)
class ImageReader:
    """Reads the images of a source. Thread-safe.

    Attributes:
        source: The images.
        pipeline: Transforms of each image.
        seed: The experiment's seed.
        store: Cache of images as they are before the first random transform.
        processes: Decode and transform images that are not cached; None lets threads do it.
    """

    source: ImageSource
    pipeline: Transforms
    seed: int
    store: PixelCache | None = None
    processes: DecodingProcesses | None = None

    @cached_property
    def _parts(self) -> tuple[Transforms, Transforms]:
        """The transforms before the first random one, and the others."""
        fixed = fixed_part(self.pipeline)
        return self.pipeline[:fixed], self.pipeline[fixed:]

    @property
    def random(self) -> bool:
        """Whether an image differs from epoch to epoch."""
        return bool(self._parts[1])

    def image(self, epoch: int, index: int, earlier: int = 0) -> NDArray[np.uint8]:
        """Returns image `index` in `epoch` (from 0): uint8, shape (height, width, 3).

        Args:
            epoch: The epoch, from 0.
            index: The image's index in the source.
            earlier: How often the image has occurred in the epoch before.

        Raises:
            BrokenImageError: It cannot be read.
            DatasetError: It is too small for a transform, or there is not enough memory.
        """
        number, (_, rest) = self._number(index), self._parts
        pixels = self.store.get(number) if self.store is not None else None
        if pixels is not None and not rest:
            return pixels
        if pixels is None and (made := self._made_elsewhere(epoch, index, earlier)) is not None:
            return made
        image = self._prepared(index) if pixels is None else Image.fromarray(pixels)
        if not rest:
            return np.asarray(image)
        rng = stream(self.seed, Purpose.AUGMENTATION, epoch, number, earlier)
        return np.asarray(self._transformed(index, image, rest, rng))

    @cached_property
    def _encoded(self) -> tuple[EncodedSource, NDArray[np.int64], bytes] | None:
        """The source of the files, each image's index there, and the job for processes."""
        held, places = self.source.held_by(np.arange(len(self.source)))
        if not isinstance(held, EncodedSource) or type(held).load is not EncodedSource.load:
            return None
        try:
            job = pickle.dumps(Job(self.pipeline, self.seed, held.max_pixels))
        except Exception:  # a transform of a plugin, defined within a function, say
            return None
        return held, places, job

    def _made_elsewhere(self, epoch: int, index: int, earlier: int) -> NDArray[np.uint8] | None:
        """Lets a process decode and transform an image that need not be cached, if it can."""
        if self.processes is None or (self.store is not None and not self.store.full):
            return None
        if self._encoded is None:
            return None
        held, places, job = self._encoded
        opener = partial(held.files.open, int(places[index]))
        return self.processes.image(opener, job, (epoch, self._number(index), earlier))

    def _number(self, index: int) -> int:
        """Returns the index of image `index` among those that share its augmentation and cache."""
        origin = self.source.origin
        return index if origin is None else int(origin.indices[index])

    def _prepared(self, index: int) -> Image.Image:
        """Decodes an image, applies the transforms before the first random one, and caches it."""
        try:
            image = self.source.load(index)
        except Exception as error:
            raise broken(index, self.source.identify(index), error) from error
        image = self._transformed(index, image, self._parts[0], None)
        if self.store is not None:
            self.store.put(self._number(index), np.asarray(image))
        return image

    def _transformed(
        self,
        index: int,
        image: Image.Image,
        pipeline: Transforms,
        rng: np.random.Generator | None,
    ) -> Image.Image:
        try:
            return transform(image, pipeline, rng)
        except Exception as error:
            name = self.source.identify(index)
            raise DatasetError(f"{name}: cannot be transformed: {reason(error)}.") from error
