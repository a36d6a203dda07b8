"""A process that decodes for one thread at a time, as its parent sees it."""

from __future__ import annotations

import json
import mmap
import os
import select
import subprocess
import sys
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from isotune.data.decoders.wire import (
    ANSWER,
    FILE_BYTES,
    IMAGE_BYTES,
    READY,
    REQUEST,
    read_exactly,
    write_all,
)

SUPPORTED = hasattr(os, "memfd_create") and hasattr(select, "poll")
"""Whether this system has memory that two processes map without a file: Linux."""

START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2])\n"
    "from isotune.data.decoders.child import main; main(int(sys.argv[1]))"
)
"""What a process runs. With ``-I`` it does not import from the folder that it is started in."""

ENDING = 2.0
"""Seconds that a process has to end by itself."""

FAILURES = 16
"""Number of images of a job, one after the other, after which a process is not asked for more: the
job has a transform that works in its parent only."""

Opener = Callable[[], BinaryIO]
"""Opens an image file for reading."""


class DecodingProcess:
    """A process that decodes and transforms images for one thread at a time."""

    def __init__(self) -> None:
        memory = os.memfd_create("isotune-images")
        try:
            os.ftruncate(memory, FILE_BYTES + IMAGE_BYTES)
            self._area = memoryview(mmap.mmap(memory, FILE_BYTES + IMAGE_BYTES))
            flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", START, str(memory), json.dumps(sys.path)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[memory],
                start_new_session=True,  # Ctrl-C is for the parent
            )
        finally:
            os.close(memory)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests = self._process.stdin.fileno()
        self._answers = self._process.stdout.fileno()
        self._pixels = np.frombuffer(self._area[FILE_BYTES:], np.uint8)
        self._job: bytes | None = None
        self._failures = 0

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def ready(self, wait: bool = False) -> bool:
        """Whether it has started.

        Args:
            wait: Whether to wait until it has.

        Raises:
            EOFError: It has ended.
        """
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        return (
            bool(poll.poll(None if wait else 0))
            and read_exactly(self._answers, len(READY)) == READY
        )

    def image(
        self, opener: Opener, job: bytes, position: tuple[int, int, int]
    ) -> NDArray[np.uint8] | None:
        """Returns what a job makes of an image, or None if it should be done here.

        Args:
            opener: Opens the file.
            job: A pickled :class:`~isotune.data.decoders.wire.Job`.
            position: Epoch, index, and how often the image has occurred in the epoch before.

        Returns:
            uint8, shape (height, width, 3).

        Raises:
            OSError: The process has ended.
            EOFError: The process has ended.
        """
        if job is self._job and self._failures >= FAILURES:
            return None
        try:
            size = self._read(opener)
        except Exception:  # the caller meets it again
            return None
        if not 0 < size < FILE_BYTES:
            return None
        new = b""
        if job is not self._job:
            self._job, self._failures, new = job, 0, job
        write_all(self._requests, REQUEST.pack(len(new), size, *position) + new)
        made, height, width = ANSWER.unpack(read_exactly(self._answers, ANSWER.size))
        if not made:
            self._failures += 1
            return None
        self._failures = 0
        return self._pixels[: height * width * 3].reshape(height, width, 3).copy()

    def _read(self, opener: Opener) -> int:
        """Copies a file into the common memory, as far as there is room, and returns its size."""
        size = 0
        with opener() as file:
            while count := file.readinto(self._area[size:FILE_BYTES]):  # type: ignore[attr-defined]
                size += count
        return size

    def ask_to_end(self) -> None:
        """Lets the process end."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def wait(self) -> None:
        """Waits for the end of the process that was asked for, or forces it."""
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
