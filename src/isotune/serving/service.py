"""One trained model that answers requests; those that arrive together are computed together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from isotune.data.decode import reason
from isotune.data.experiment_batches import evaluation_batches
from isotune.data.identify import identify
from isotune.data.inputs import InputSource
from isotune.data.workers import worker_count
from isotune.errors import DatasetError, RunError
from isotune.experiment.classifier import Classifier
from isotune.experiment.prediction import Prediction
from isotune.interfaces.dataset import Batch
from isotune.spec.dataset import MAX_PIXELS
from isotune.spec.transforms import output_size

T = TypeVar("T")

_ANY_SIZE = (256, 256)
"""Height and width of an image for a model that resizes images itself."""

Logits = NDArray[np.float32]


class Service:
    """Predicts for many clients with one model.

    Threads decode the images as they arrive. One thread alone computes, since frameworks are not
    thread-safe. It never waits for a batch to fill up: whatever has arrived while it computed is
    the next batch, so that a lone request is not delayed and a crowd is computed in full batches:
    of 8 images, 7.0 with 32 clients and 3.3 with 8 (MobileNetV2 with torch, 2 cores). Waiting 5 ms
    for more made it 6.9 and 3.6, at the same processor time.

    Batches have a power of two of images. A framework that compiles a step for each batch size
    then compiles few of them, all in :meth:`warm_up`.

    All methods except :meth:`warm_up` and :meth:`close` are for one event loop.

    Args:
        classifier: The model.
        max_pixels: Largest number of pixels of an image; the spec's limit holds too.
    """

    def __init__(self, classifier: Classifier, max_pixels: int = MAX_PIXELS) -> None:
        self.classifier = classifier
        self._max_pixels = max_pixels
        self._decoders = ThreadPoolExecutor(
            worker_count(classifier.spec.workers) or 1, "isotune-decode"
        )
        self._model = ThreadPoolExecutor(1, "isotune-model")
        self._waiting: deque[_Image] = deque()
        self._computing: asyncio.Task[None] | None = None

    def warm_up(self) -> None:
        """Computes a gray image in every batch size, so that no request waits for a compilation.

        Raises:
            RunError: an output is not finite.
        """
        transforms = self.classifier.input_spec.transforms.val
        assert transforms is not None, "resolve() comes first"
        size = output_size(transforms) or _ANY_SIZE
        pixels = np.full((*size, 3), 128, dtype=np.uint8)
        for count in reversed(_sizes(self.classifier.batch_size)):
            self._model.submit(self._logits, [pixels] * count).result()

    async def predict(
        self, images: Sequence[bytes], top: int | None = None, names: Sequence[str] | None = None
    ) -> list[Prediction | DatasetError]:
        """Predicts the classes of images as :meth:`Classifier.predict` does.

        Args:
            images: The content of image files.
            top: Number of classes to return; None returns all.
            names: What errors call the images; None calls them ``images[0]`` and so on.

        Returns:
            For each image its prediction, or the error that says why it cannot be read.

        Raises:
            RunError: an output is not finite.
        """
        names = names or [f"images[{index}]" for index in range(len(images))]
        tasks = [
            asyncio.ensure_future(self._predict(image, top, name))
            for image, name in zip(images, names, strict=True)
        ]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:  # the others are of no use when one has failed
                task.cancel()

    async def compute(self, function: Callable[[], T]) -> T:
        """Calls a function in the model's thread: any other use of the model.

        It waits its turn between two batches.
        """
        return await asyncio.get_running_loop().run_in_executor(self._model, function)

    def close(self) -> None:
        """Ends the threads, after what they compute."""
        self._decoders.shutdown(cancel_futures=True)
        self._model.shutdown(cancel_futures=True)

    async def _predict(
        self, content: bytes, top: int | None, name: str
    ) -> Prediction | DatasetError:
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(self._decoders, self._pixels, content, name)
        except DatasetError as error:
            return error
        image = _Image(pixels, loop.create_future())
        self._waiting.append(image)
        if self._computing is None:
            self._computing = loop.create_task(self._compute_waiting())
        [prediction] = self.classifier.ranked((await image.logits)[None], top)
        return prediction

    def _pixels(self, content: bytes, name: str) -> NDArray[np.uint8]:
        """Returns an image as the model takes it: uint8, shape (height, width, 3)."""
        spec = self.classifier.input_spec
        if self._max_pixels < spec.dataset.max_pixels:
            self._check_pixels(content, name, spec.dataset.max_pixels)
        file = _File(content, name)
        source = InputSource([file], self.classifier.classes, spec.dataset.max_pixels)
        return evaluation_batches(source, spec, 1).image(0, 0)

    def _check_pixels(self, content: bytes, name: str, max_pixels: int) -> None:
        try:
            with identify(BytesIO(content), max_pixels) as image:
                width, height = image.size
        except Exception as error:  # decoders raise errors of any type
            raise DatasetError(f"{name}: cannot be read as an image: {reason(error)}.") from error
        if width * height > self._max_pixels:
            raise DatasetError(
                f"{name}: its {width} x {height} pixels are more than {self._max_pixels}, the"
                " most that this service takes."
            )

    async def _compute_waiting(self) -> None:
        """Computes what waits, batch by batch, until nothing does."""
        try:
            while images := self._next_batch():
                await self._compute_batch(images)
        finally:
            self._computing = None

    def _next_batch(self) -> list[_Image]:
        self._waiting = deque(each for each in self._waiting if not each.logits.cancelled())
        largest = min(len(self._waiting), self.classifier.batch_size)
        return [self._waiting.popleft() for _ in range(_sizes(largest)[-1] if largest else 0)]

    async def _compute_batch(self, images: list[_Image]) -> None:
        loop = asyncio.get_running_loop()
        pixels = [image.pixels for image in images]
        try:
            rows = await loop.run_in_executor(self._model, self._logits, pixels)
        except RunError as error:
            if len(images) == 1:
                images[0].fail(error)
                return
            for image in images:  # one of them is the cause; the others get their answer
                await self._compute_batch([image])
        except BaseException as error:
            for image in images:
                image.fail(error)
            if not isinstance(error, Exception):
                raise
        else:
            for image, row in zip(images, rows, strict=True):
                image.succeed(row)

    def _logits(self, pixels: list[NDArray[np.uint8]]) -> Logits:
        batch = Batch(np.stack(pixels), np.zeros(len(pixels), dtype=np.int32))
        [logits] = self.classifier.logits_by_batch([batch], fetch_every=1)
        return logits


@dataclass(frozen=True)
class _Image:
    """An image that waits for its logits: float32, shape (outputs,)."""

    pixels: NDArray[np.uint8]
    logits: asyncio.Future[Logits]

    def succeed(self, logits: Logits) -> None:
        if not self.logits.done():  # its client may have gone
            self.logits.set_result(logits)

    def fail(self, error: BaseException) -> None:
        if not self.logits.done():
            self.logits.set_exception(error)


class _File(BytesIO):
    """The content of a file, with its name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _sizes(largest: int) -> list[int]:
    """Returns the powers of two up to `largest`."""
    return [1 << exponent for exponent in range(largest.bit_length())]
