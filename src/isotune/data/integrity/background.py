"""Checks images in the background while a run trains, where it does not wait for a check before.

A broken image is found by the check, or by training when it decodes it, whichever comes first.
What a run trains on does not depend on that: batches skip an image only because it cannot be
decoded, never because the check said so.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Literal

import numpy as np

from isotune.data.caches.files import PART
from isotune.data.integrity.broken import BrokenImageError, Skip, fault
from isotune.data.integrity.check import BrokenImage, check_some, save_checks, without
from isotune.data.workers import worker_count
from isotune.errors import DatasetError, IsotuneError
from isotune.interfaces.dataset import Batch, ImageSource
from isotune.interfaces.events import StopRequest

TURN = 0.1
"""Seconds that the check works at a time, about."""

SHARE = 0.1
"""Share of a CPU that the check takes even while training waits for images."""

SAVED_EVERY = 300.0
"""Seconds after which results are cached, in case the process is killed."""

log = logging.getLogger(__name__)


class BackgroundCheck:
    """Reads each image of a run once, in a thread that gives way to training.

    Of several processes that train on the images, one checks them; the others take note of those
    that they find broken while they train.

    Args:
        splits: The images by split, in the order in which they are checked.
        policy: Whether a broken image ends the run, or is skipped.
        workers: Number of threads after training has ended; None chooses. Before, there is one.
        checks: Whether this process is the one that checks the images.

    Attributes:
        skipped: Number of broken images found so far and skipped, by split.
    """

    def __init__(
        self,
        splits: Mapping[str, ImageSource],
        policy: Literal["error", "skip"],
        workers: int | None = None,
        checks: bool = True,
    ) -> None:
        self.skipped = dict.fromkeys(splits, 0)
        self._splits, self._policy = splits, policy
        self._workers = worker_count(workers)
        self._checks = checks
        self._broken: dict[str, dict[int, str]] = {split: {} for split in splits}
        self._lock = threading.Lock()
        self._idle, self._closed = threading.Event(), threading.Event()
        self._idle.set()
        self._trained = False
        self._stop = StopRequest()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def skip(self, split: str) -> Skip | None:
        """Returns what takes note of a split's broken images; None where they end the run."""
        return partial(self._found, split) if self._policy == "skip" else None

    def start(self, stop: StopRequest, done: Callable[[], None]) -> None:
        """Starts checking.

        Args:
            stop: Asks the run to stop if something is wrong.
            done: Called by the thread when all images have been checked; it may raise errors, too.
        """
        self._stop = stop
        if not self._checks:
            return
        self._thread = threading.Thread(
            target=self._work, args=(done,), name="isotune-background", daemon=True
        )
        self._thread.start()

    def updates(self, batches: Iterator[Batch], every: int) -> Iterator[Batch]:
        """Yields training batches, and the check gives way while they are waited for.

        If an image is broken and not skipped, the run is asked to stop and the batches end, after
        the last whole update before it.

        Args:
            batches: The batches.
            every: Number of batches per update; they are decoded before the first is yielded.
        """
        while update := self._next(batches, every):
            yield from update

    def finish(self, within: float = math.inf) -> bool:
        """Checks the rest, with all threads, after training has ended; returns whether it is done.

        Args:
            within: Number of seconds after which it returns in any case.

        Raises:
            IsotuneError: The run was asked to stop, or something is wrong with the images.
        """
        self._trained = True
        self._idle.set()
        end = time.monotonic() + within
        while self._thread is not None and self._thread.is_alive() and not self._stop.requested:
            if time.monotonic() > end:
                return False
            self._thread.join(TURN)
        if isinstance(self._error, BrokenImageError):
            raise DatasetError(f"{fault(self._error)}. All epochs are trained and saved.")
        if self._error is not None:
            raise self._error
        return True

    def close(self) -> None:
        """Ends the thread, and caches what it has found out."""
        self._closed.set()
        self._idle.set()
        if self._thread is not None:
            self._thread.join()
        for source in self._splits.values():
            save_checks(source)
        if self._error is not None and not isinstance(self._error, IsotuneError):
            raise self._error

    def readable(self, split: str) -> ImageSource:
        """Returns the images of a split without those that are known to be broken.

        Raises:
            DatasetError: No image of a class is left.
        """
        source = self._splits[split]
        with self._lock:
            found = sorted(self._broken[split].items())
        broken = [BrokenImage(index, source.identify(index), why) for index, why in found]
        return without(source, broken) if broken else source

    def _work(self, done: Callable[[], None]) -> None:
        try:
            for split, source in self._splits.items():
                self._check(split, source)
            if not self._closed.is_set():
                done()
        except Exception as error:
            self._fail(error)

    def _check(self, split: str, source: ImageSource) -> None:
        start, size, saved = 0, 1, time.monotonic()
        while start < len(source) and not self._closed.is_set():
            part = range(start, min(start + size, len(source)))
            begin = time.monotonic()
            for image in check_some(source, part, self._workers if self._trained else 1):
                self._found(split, BrokenImageError(image.index, image.identity, image.reason))
            end = time.monotonic()
            start, size = part.stop, _next_size(len(part), end - begin)
            self._idle.wait((end - begin) * (1 / SHARE - 1))
            if end - saved > SAVED_EVERY:
                save_checks(source)
                saved = end
        if start == len(source):
            self.readable(split)

    def _found(self, split: str, error: BrokenImageError) -> None:
        if self._policy == "error":
            raise error
        with self._lock:
            if error.index in self._broken[split]:
                return
            self._broken[split][error.index] = error.reason
            self.skipped[split] += 1
        if self._checks:
            log.warning("left out %s: %s", error.identity, error.reason)

    def _next(self, batches: Iterator[Batch], every: int) -> list[Batch]:
        self._idle.clear()
        try:
            return list(islice(batches, every))
        except DatasetError as error:
            self._fail(error)
            return []
        finally:
            self._idle.set()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self._error = self._error or error
        self._stop.request(fault(error), fault=True)


def _next_size(size: int, seconds: float) -> int:
    """Returns how many images to check next, after `size` took so many seconds."""
    fitting = int(size * TURN / max(seconds, 1e-6))
    return int(np.clip(fitting, 1, min(4 * size, PART)))
