"""Stores images as pixels for several processes of a machine, each of which sees other images."""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from isotune.data.caches.pixels import PLACE, pixel_folder
from isotune.storage.untrusted import open_regular

log = logging.getLogger(__name__)


class SharedPixelStore:
    """Stores images by index as long as there is room, for all processes. Thread-safe.

    Each process writes a file of its own, of which the system keeps in memory what it has room
    for, and reads those of the others. A file begins with a table of the images in it; its entry is
    written after an image. No process waits for another: what it reads half-written does not have
    the CRC-32 of the entry, and counts as missing. The files have names only until all processes
    have opened them, so that nothing is left behind however the processes end.

    Args:
        length: Number of images.
        size: Number of bytes of pixels that this process stores.
    """

    def __init__(self, length: int, size: int) -> None:
        self._lock = threading.Lock()
        self._places = np.zeros(length, PLACE)  # of the images in its own file
        self._end = self._places.nbytes
        self._limit = self._end + size
        self._name: Path | None = None
        self._handle: int | None = None
        self._tables: list[tuple[NDArray[np.void], NDArray[np.uint8]]] = []
        self.full = False

    def offer(self) -> Path | None:
        """Gives the file a name, by which others open it; None if it cannot be written."""
        for folder in (pixel_folder(), Path(tempfile.gettempdir())):
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                self._handle, name = tempfile.mkstemp(dir=folder, suffix=".pixels")
                self._name = Path(name)
                os.truncate(self._handle, self._limit)
                self._tables = [_mapped(self._handle, len(self._places))]
                return self._name
        return None

    def join(self, files: Sequence[Path]) -> None:
        """Reads the files of other processes, too; those that are not on this machine are missing.

        Args:
            files: What :meth:`offer` has returned there.
        """
        for path in files:
            with suppress(OSError, ValueError), open_regular(path) as file:
                self._tables.append(_mapped(file.fileno(), len(self._places)))

    def hide(self) -> None:
        """Takes the name of the file away, once all have opened it."""
        if self._name is not None:
            with suppress(OSError):  # some systems keep the names of open files
                self._name.unlink()
            self._name = None

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """Returns an image, or None if no process has stored it.

        Returns:
            A read-only view: uint8, shape (height, width, 3).
        """
        for places, content in self._tables:
            place, height, width, start, crc = places[number].item()
            end = start + height * width * 3
            if place and 0 <= start < end <= len(content):
                flat = content[start:end]
                if crc32(flat.data) == crc:
                    pixels: NDArray[np.uint8] = flat.reshape(height, width, 3)
                    return pixels
        return None

    def put(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Stores a copy of an image, uint8 of shape (height, width, 3), if there is room."""
        with self._lock:
            if self._handle is None or self._places["slab"][number]:
                return
            if self._end + pixels.nbytes > self._limit:
                self.full = True
                return
            data = np.ascontiguousarray(pixels).data
            entry = np.array((1, *pixels.shape[:2], self._end, crc32(data)), PLACE)
            try:
                _write(self._handle, data.cast("B"), self._end)
                _write(self._handle, memoryview(entry.tobytes()), number * PLACE.itemsize)
            except OSError as error:
                log.warning("no more decoded images are cached on disk: %s.", error.strerror)
                self._limit = 0
                return
            self._places[number] = entry
            self._end += pixels.nbytes

    def close(self) -> None:
        """Releases the files; later images are not stored."""
        self.hide()
        with self._lock:
            self._tables = []
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


def _mapped(handle: int, images: int) -> tuple[NDArray[np.void], NDArray[np.uint8]]:
    """Returns a file's table of images and its content, both read-only.

    Raises:
        ValueError: It is too short.
    """
    content = np.frombuffer(mmap.mmap(handle, 0, access=mmap.ACCESS_READ), np.uint8)
    return np.frombuffer(content.data, PLACE, images), content


def _write(handle: int, data: memoryview, start: int) -> None:
    # Writing through the map would kill the process with a signal if the disk is full.
    while data:
        written = os.pwrite(handle, data, start)
        data, start = data[written:], start + written
