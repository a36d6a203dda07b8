"""Finds images that cannot be read, before training starts."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from isotune.data.decode import open_checked, reason, to_rgb
from isotune.data.integrity.cache import IntegrityCache
from isotune.data.sources.folder import FolderSource
from isotune.data.sources.subset import Subset
from isotune.data.workers import worker_count
from isotune.errors import DatasetError
from isotune.interfaces.dataset import ImageSource

SHOWN = 20
"""Number of broken images that an error lists; it counts the others."""

CHUNK = 64
"""Number of images that a thread checks at a time."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class BrokenImage:
    """An image that cannot be read.

    Attributes:
        index: its position in the source.
        identity: its name, usually its path.
        reason: why it cannot be read.
    """

    index: int
    identity: str
    reason: str


def clean(
    source: ImageSource, policy: Literal["error", "skip"], workers: int | None = None
) -> tuple[ImageSource, list[BrokenImage]]:
    """Returns `source` without its broken images, and the broken images.

    Args:
        source: the images.
        policy: whether broken images raise an error or are skipped.
        workers: number of reading threads; None chooses.

    Raises:
        DatasetError: the policy is ``error`` and images are broken, or no image of a class can be
            read. The message lists the broken images.
    """
    broken = find_broken(source, workers)
    if not broken:
        return source, []
    if policy == "error":
        raise DatasetError(_listing(broken))
    indices = np.delete(np.arange(len(source)), [image.index for image in broken])
    readable = Subset(source, indices.tolist())
    for label in np.setdiff1d(source.labels, readable.labels):
        raise DatasetError(
            f"no image of class '{source.classes[label]}' can be read: {_listing(broken)}"
        )
    return readable, broken


def _listing(broken: list[BrokenImage]) -> str:
    count = "1 image is" if len(broken) == 1 else f"{len(broken)} images are"
    lines = [f"  {image.identity}: {image.reason}" for image in broken[:SHOWN]]
    if len(broken) > SHOWN:
        lines.append(f"  and {len(broken) - SHOWN} more")
    return "\n".join([f"{count} broken; repair, delete or skip:", *lines])


def find_broken(source: ImageSource, workers: int | None = None) -> list[BrokenImage]:
    """Reads every image completely and returns those that cannot be read, in order.

    Files that were checked before and have not changed since are not read again.
    """
    if source.always_readable:
        return []
    if isinstance(source, FolderSource):
        reasons = _check_folder(source, workers)
    else:
        reasons = in_threads(
            lambda index: _check_loading(source, index), range(len(source)), workers
        )
    return [
        BrokenImage(index, source.identify(index), reason)
        for index, reason in enumerate(reasons)
        if reason
    ]


def _check_folder(source: FolderSource, workers: int | None) -> list[str]:
    fingerprints = np.array(
        in_threads(partial(_fingerprint, source), range(len(source)), workers), np.int64
    )
    cache = IntegrityCache(source.folder)
    cached = cache.recall(source.names, fingerprints)
    unchecked = [index for index, known in enumerate(cached) if known is None]
    checked = in_threads(lambda i: _check_path(source.path(i)), unchecked, workers)
    for index, problem in zip(unchecked, checked, strict=True):
        cached[index] = problem
    problems = [problem or "" for problem in cached]
    if unchecked:
        cache.replace(source.names, fingerprints, problems)
    return problems


def _fingerprint(source: FolderSource, index: int) -> tuple[int, int]:
    """Returns the size and modification time of a file, or (0, 0) if it cannot be found."""
    try:
        status = os.stat(source.identify(index))  # noqa: PTH116 (a Path takes three times as long)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _check_path(path: Path) -> str:
    try:
        return check_file(path, path.stat())
    except OSError as error:
        return reason(error)


def check_file(path: Path, status: os.stat_result) -> str:
    """Returns why an image file cannot be read, or an empty string if it can."""
    if not stat.S_ISREG(status.st_mode):
        return "it is not a file"  # opening a pipe would wait forever
    try:
        with open_checked(path) as image:
            if image.format in ("JPEG", "MPO"):
                # At an eighth of the size all data is still decoded, in half the time.
                image.draft("L", (1, 1))
                image.load()
            else:
                to_rgb(image)
    except Exception as error:  # decoders raise errors of any type
        return reason(error)
    return ""


def _check_loading(source: ImageSource, index: int) -> str:
    try:
        source.load(index)
    except Exception as error:
        return reason(error)
    return ""


def in_threads(check: Callable[[int], _T], indices: Sequence[int], workers: int | None) -> list[_T]:
    """Returns ``check(index)`` for all `indices`, computed by threads."""
    starts = range(0, len(indices), CHUNK)
    executor = ThreadPoolExecutor(worker_count(workers), "isotune-check")
    try:
        chunks = executor.map(
            lambda start: [check(index) for index in indices[start : start + CHUNK]], starts
        )
        return [result for chunk in chunks for result in chunk]
    finally:
        executor.shutdown(cancel_futures=True)
