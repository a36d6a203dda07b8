"""The process that decodes and transforms images for a thread of its parent, until that ends."""

from __future__ import annotations

import logging
import mmap
import os
import pickle
import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from isotune.data.decode import DAMAGED, decode_rgb
from isotune.data.decoders.wire import (
    ANSWER,
    FILE_BYTES,
    IMAGE_BYTES,
    READY,
    REQUEST,
    Job,
    read_exactly,
    write_all,
)
from isotune.data.transforms.pipeline import transform
from isotune.randomness import Purpose, stream
from isotune.storage.memory import keep_freed_memory

JPEG_PIXELS, OTHER_PIXELS = 1 << 24, 3 << 20
"""Largest numbers of pixels of JPEG images, and of others. So no image takes much more than 100 MB;
the threads of the parent, which know of each other, decode larger ones one after the other."""


UNSEEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that Python shows nobody by default."""


class _Noted(logging.Handler):
    """Notes that something was logged, which the parent shall say instead."""

    noted = False

    def emit(self, record: logging.LogRecord) -> None:
        self.noted = True


def main(memory: int) -> None:
    """Answers requests from standard input until it ends.

    Args:
        memory: File descriptor of the memory for files and results.
    """
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # a library that prints must not be an answer
    notes = _silenced()
    area = memoryview(mmap.mmap(memory, FILE_BYTES + IMAGE_BYTES))
    result = np.frombuffer(area[FILE_BYTES:], np.uint8)
    keep_freed_memory()
    write_all(answers, READY)
    job: Job | None = None
    while True:
        try:
            new, size, *position = REQUEST.unpack(read_exactly(0, REQUEST.size))
            sent = read_exactly(0, new)
        except EOFError:
            return
        notes.noted = False
        DAMAGED.clear()  # so that it is noted for each image
        try:
            if new:
                job = None  # in case that this one cannot be loaded
                job = pickle.loads(sent)
            pixels = _made(bytes(area[:size]), job, position)
            result[: pixels.size].reshape(pixels.shape)[:] = pixels
            answer = ANSWER.pack(not notes.noted, *pixels.shape[:2])
        except Exception:  # the parent meets it again
            answer = ANSWER.pack(False, 0, 0)
        write_all(answers, answer)


def _silenced() -> _Noted:
    """Makes errors of warnings, and returns what notes log lines: the parent shall show both."""
    warnings.simplefilter("error")
    for kind in UNSEEN:
        warnings.simplefilter("ignore", kind)
    notes = _Noted()
    logging.getLogger().addHandler(notes)
    return notes


def _made(content: bytes, job: Job | None, position: list[int]) -> NDArray[np.uint8]:
    assert job is not None, "the job cannot be loaded here"
    limit = JPEG_PIXELS if content.startswith(b"\xff\xd8\xff") else OTHER_PIXELS
    image = decode_rgb(BytesIO(content), "an image", min(job.max_pixels, limit))
    rng = stream(job.seed, Purpose.AUGMENTATION, *position)
    return np.asarray(transform(image, job.pipeline, rng))
