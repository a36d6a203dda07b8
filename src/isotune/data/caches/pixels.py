"""Stores images as pixels, in memory and then in a temporary file that is mapped into memory."""

from __future__ import annotations

import logging
import mmap
import tempfile
import threading
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from isotune.storage.caches import PIXELS

log = logging.getLogger(__name__)

SLAB = 64 << 20
"""Number of bytes allocated at a time; unwritten ones take no physical memory."""

PLACE = np.dtype(
    [("slab", "i4"), ("height", "i4"), ("width", "i4"), ("start", "i8"), ("crc", "u4")]
)
"""Where an image is stored; a slab of 0 stands for nowhere."""


class PixelCache(Protocol):
    """Stores images as pixels, by index. Thread-safe.

    Attributes:
        full: Whether images were not stored any more for lack of room.
    """

    full: bool

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """Returns an image, uint8 of shape (height, width, 3), or None if it is not stored."""

    def put(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Stores a copy of an image, uint8 of shape (height, width, 3), if there is room."""

    def close(self) -> None:
        """Releases memory and files; later images are not stored."""


@dataclass
class _Slab:
    """A piece of memory, or of the file, for images.

    Attributes:
        pixels: its bytes, uint8 of shape (size,); read-only if it is mapped from the file.
        offset: its position in the file, or None for a slab in memory.
        used: number of bytes in use, from the beginning.
    """

    pixels: NDArray[np.uint8]
    offset: int | None = None
    used: int = 0


class PixelStore:
    """Stores images by index as long as there is room. Thread-safe.

    Images are never evicted: since every epoch uses all of them, an image would be evicted just
    before it is needed. The file has no name (on Windows: only until the process ends), so that
    nothing is left behind however the process ends, and later processes never see it. What a disk
    returns is compared with the CRC-32 of what was written; an image that differs is not stored.

    Args:
        length: number of images.
        memory: number of bytes of pixels stored in memory.
        disk: number of further bytes stored in the file, which lies under ``$ISOTUNE_HOME/cache``
            or, if that cannot be written, in the folder of temporary files.
    """

    def __init__(self, length: int, memory: int, disk: int) -> None:
        self._lock = threading.Lock()
        # An array takes only 24 bytes per image, unlike a dict.
        self._places = np.zeros(length, PLACE)
        self._slabs: list[_Slab] = []
        self._memory, self._disk = memory, disk
        self._file: FileIO | None = None
        self._end = 0
        self._damaged = False
        self.full = False

    def get(self, number: int) -> NDArray[np.uint8] | None:
        """Returns an image, or None if it is not stored.

        Returns:
            A read-only view: uint8, shape (height, width, 3).
        """
        with self._lock:
            place, height, width, start, crc = self._places[number].item()
            if not place:
                return None
            slab = self._slabs[place - 1]
        flat = slab.pixels[start : start + height * width * 3]
        if slab.offset is not None and crc32(flat.data) != crc:
            self._forget(number)
            return None
        pixels: NDArray[np.uint8] = flat.reshape(height, width, 3)
        pixels.flags.writeable = False
        return pixels

    def put(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Stores a copy of an image, uint8 of shape (height, width, 3), if there is room."""
        with self._lock:
            if self._places["slab"][number]:
                return
            try:
                slab = self._with_room(pixels.nbytes)
                if slab is not None:
                    self._write(slab, pixels)
            except OSError as error:
                log.warning("no more decoded images are cached on disk: %s.", error.strerror)
                self._disk, slab = 0, None
                for newest in self._slabs[-1:]:
                    newest.used = len(newest.pixels)
            if slab is None:
                self.full = True
            else:
                start, slab.used = slab.used, slab.used + pixels.nbytes
                crc = 0 if slab.offset is None else crc32(np.ascontiguousarray(pixels).data)
                self._places[number] = (len(self._slabs), *pixels.shape[:2], start, crc)

    def close(self) -> None:
        """Releases the memory and the file; later images are not stored."""
        with self._lock:
            self._places["slab"] = 0
            self._slabs.clear()
            self._memory = self._disk = 0
            if self._file is not None:
                self._file.close()
                self._file = None

    def _forget(self, number: int) -> None:
        with self._lock:
            self._places["slab"][number] = 0
            first, self._damaged = not self._damaged, True
        if first:
            log.warning("decoded images cached on disk have changed there; they are decoded again.")

    def _with_room(self, size: int) -> _Slab | None:
        """Returns a slab with `size` free bytes, new if necessary, or None if there is no room."""
        if self._slabs and len(self._slabs[-1].pixels) - self._slabs[-1].used >= size:
            return self._slabs[-1]
        if size <= self._memory:
            room = min(max(SLAB, size), self._memory)
            self._memory -= room
            self._slabs.append(_Slab(np.empty(room, np.uint8)))
        elif size <= self._disk:
            self._memory = 0  # later images go to the newest slab
            room = min(max(SLAB, size), self._disk)
            self._slabs.append(self._map(room))
            self._disk -= room
        else:
            return None
        return self._slabs[-1]

    def _map(self, room: int) -> _Slab:
        """Extends the file and maps the new bytes."""
        if self._file is None:
            self._file = _nameless_file()
        offset = self._end
        self._end += -(-room // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._file.truncate(self._end)
        mapped = mmap.mmap(self._file.fileno(), room, offset=offset, access=mmap.ACCESS_READ)
        return _Slab(np.frombuffer(mapped, np.uint8), offset)

    def _write(self, slab: _Slab, pixels: NDArray[np.uint8]) -> None:
        if slab.offset is None:
            slab.pixels[slab.used : slab.used + pixels.nbytes] = pixels.reshape(-1)
            return
        assert self._file is not None, "it was created with the slab"
        # Writing through the map would kill the process with a signal if the disk is full.
        self._file.seek(slab.offset + slab.used)
        rest = np.ascontiguousarray(pixels).data.cast("B")
        while rest:
            rest = rest[self._file.write(rest) :]


def pixel_folder() -> Path:
    """Returns the folder of the files, unless it cannot be written."""
    return PIXELS.folder


def _nameless_file() -> FileIO:
    folder = pixel_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(buffering=0, dir=folder)
    except OSError:
        return tempfile.TemporaryFile(buffering=0)
