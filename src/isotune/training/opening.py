"""Opens the images of an experiment while its backend is imported."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor

from isotune.data.images import Images
from isotune.interfaces.backend import Backend
from isotune.spec.dataset import DatasetSpec
from isotune.storage import home
from isotune.storage.paths import exists, expanded

FEW = 2000
"""Number of images that are checked before the backend is known to be usable.

Two cores check them in about the time in which a framework is imported, and who has named a device
that is not there waits no longer for that sentence.
"""


def opens_beside(dataset: DatasetSpec) -> bool:
    """Whether a dataset may be opened in another thread.

    It must be of Isotune's own formats, have splits, and need no download. What a program gives may
    be anything, and need its framework while that is imported.
    """
    own = type(dataset).__module__.startswith("isotune.")
    whole = dataset.split is None and dataset.fold is None
    there = not dataset.in_memory and exists(home.datasets() / expanded(dataset.path))
    return own and whole and there


def open_both(
    backend: Callable[[], Backend], images: Callable[[Callable[[int], None]], Images]
) -> tuple[Backend, Images]:
    """Opens a backend here, and images in another thread at the same time.

    Args:
        backend: Opens the backend. What it raises comes before errors of the images.
        images: Opens the images; what it is given is the `may_check` of
            :func:`isotune.data.images.open_images`.
    """
    decided, usable = threading.Event(), threading.Event()

    def may_check(number: int) -> None:
        if number > FEW:
            decided.wait()
            if not usable.is_set():
                raise CancelledError

    with ThreadPoolExecutor(1, "isotune-images") as thread:
        opening = thread.submit(images, may_check)
        try:
            opened = backend()
            usable.set()
        finally:
            decided.set()
        return opened, opening.result()
